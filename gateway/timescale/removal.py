"""In: devices that are out of the registry. Out: their messages gone, in bounded steps, after COMMIT of each. No Redis.

A gateway that has not heard of it yet may write a device's messages for a moment after it was removed; they belong to
nobody, since ids are never used again, and a second and a third pass take them.
"""

from datetime import timedelta
from typing import NamedTuple

from gateway.timescale.pool import Pool
from gateway.timescale.queries import query

AT_ONCE = 5000
"""Messages one statement removes, so that none holds its locks for long."""
HEARD = timedelta(seconds=2)
"""After this every gateway has heard of a removal, if it can ask the database."""
SETTLED = timedelta(minutes=10)
"""After this nothing is under way any more that was taken in before."""
REMEMBERED = timedelta(days=30)
"""How long removals are told to gateways that could not ask for so long."""
PAGE = 100


class Due(NamedTuple):
    """A removed device of which something may be left."""

    id: int
    name: str


class RemovedDevices:
    """What is left of removed devices. All methods raise SinkUnavailable and SinkFault."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def due(self) -> list[Due]:
        """Return removals of which a pass is due, oldest first."""
        async with self._pool.connection() as connection:
            rows = await connection.fetch(query("due_removals"), HEARD, SETTLED, PAGE)
        return [Due(*row) for row in rows]

    async def remove_some(self, device_id: int) -> int:
        """Remove up to 5,000 messages of a device; return how many, 0 when none is left."""
        async with self._pool.connection() as connection:
            ranges = await connection.fetch(query("messages_to_remove"), device_id, AT_ONCE)
            removed = 0
            for row in ranges:
                told = await connection.execute(
                    query("remove_messages"), device_id, row["shape_id"], row["first"], row["last"]
                )
                removed += int(told.rpartition(" ")[2])
        return removed

    async def note_pass(self, device_id: int) -> None:
        """Note that nothing of it is left now."""
        async with self._pool.connection() as connection:
            await connection.execute(query("note_pass"), device_id, HEARD, SETTLED)

    async def forget(self) -> None:
        """Forget removals that everybody has heard of."""
        async with self._pool.connection() as connection:
            await connection.execute(query("forget_removals"), REMEMBERED)
