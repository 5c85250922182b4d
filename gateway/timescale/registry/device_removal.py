"""The removal of messages. In: devices out of the registry. Out: their messages gone, in bounded steps. No Redis.

A gateway that has not heard of it yet may write a device's messages for a moment after it was removed. They belong to
nobody, since ids are never used again, and a second and a third pass find them: see `latecomers`.
"""

import asyncio
from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import NamedTuple

from gateway.core.timestamps import to_datetime
from gateway.domain.history import Span
from gateway.timescale.chunks import EVER, Calendar
from gateway.timescale.connections.pool import Connection, Pool
from gateway.timescale.queries import query
from gateway.timescale.registry.late_messages import AT_ONCE as LATE_AT_ONCE
from gateway.timescale.registry.late_messages import Removed, settle

AT_ONCE = 5000
"""Messages one statement removes, so that none holds its locks for long."""
HEARD = timedelta(seconds=2)
"""After this every gateway has heard of a removal, if it can ask the database."""
SETTLED = timedelta(minutes=10)
"""After this nothing is under way any more that was taken in before."""
REMEMBERED = timedelta(days=30)
"""How long removals are told to gateways that could not ask for so long."""
PAGE = 100


async def until_heard(pool: Pool, names: Collection[str]) -> None:
    """Wait, some 2 s at most, until every gateway has heard that devices of these names were removed.

    One that has not would write the readings of a device that is made in its place under the old id, which is emptied.
    Raises SinkUnavailable, SinkFault.
    """
    async with pool.connection() as connection:
        secs = await connection.fetchval(query("until_heard"), list(names), HEARD)
    if secs is not None:
        await asyncio.sleep(secs)


class Due(NamedTuple):
    """A removed device of which something may be left."""

    id: int
    name: str


class RemovedDevices:
    """What is left of removed devices. All methods raise SinkUnavailable and SinkFault."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._calendar = Calendar()

    async def due(self) -> list[Due]:
        """Return removals of which a pass is due, oldest first; forget those that everybody has heard of."""
        async with self._pool.connection() as connection:
            rows = await connection.fetch(query("due_removals"), HEARD, SETTLED, PAGE, REMEMBERED)
        return [Due(*row) for row in rows]

    async def remove_some(self, device_id: int) -> int:
        """Remove up to 5,000 messages of a device (with many chunks, of each); return how many, 0 at the end.

        What came after it had been found empty was promised to somebody, and is settled instead, in smaller steps.
        """
        with self._calendar.learning():
            return await self._remove_some(device_id)

    async def _remove_some(self, device_id: int) -> int:
        async with self._pool.connection() as connection:
            row = await connection.fetchrow(query("removal"), device_id)
            if row is None:
                return 0
            device = Removed(*row)
            windows = (await self._calendar.windows(connection)).over(EVER)
            if len(windows) > 1 and (removed := await _remove_by_chunk(connection, device, windows)):
                return removed
            # With many chunks this is for what a chunk itself does not give away, such as compressed rows.
            return await _remove_by_key(connection, device, windows)

    async def note_emptied(self, device_id: int) -> None:
        """Note that its messages are gone, so that what is found of it from now on is late; its state is not yet."""
        async with self._pool.connection() as connection:
            await connection.execute(query("note_emptied"), device_id)

    async def note_pass(self, device_id: int) -> None:
        """Note that nothing of it is left now."""
        async with self._pool.connection() as connection:
            await connection.execute(query("note_pass"), device_id, HEARD, SETTLED)


async def _remove_by_key(connection: Connection, device: Removed, windows: Sequence[Span]) -> int:
    at_once = LATE_AT_ONCE if device.passes else AT_ONCE
    removed = 0
    for start, end in windows:
        bounds = to_datetime(start), to_datetime(end)
        for row in await connection.fetch(query("messages_to_remove"), device.id, at_once, *bounds):
            key = row["shape_id"], row["first"], row["last"]
            if device.passes:
                removed += await settle(connection, device, query("late_by_key"), *key)
            else:
                told = await connection.execute(query("remove_messages"), device.id, *key)
                removed += int(told.rpartition(" ")[2])
        if removed:
            break
    return removed


async def _remove_by_chunk(connection: Connection, device: Removed, windows: Sequence[Span]) -> int:
    """Remove messages chunk by chunk, from the oldest window that holds any; return how many."""
    for start, end in windows:
        rows = await connection.fetch(query("chunks_to_empty"), device.id, to_datetime(start), to_datetime(end))
        removed = 0
        for row in rows:
            removed += await _remove_from_chunk(connection, device, row["chunk"])
        if removed:
            return removed
    return 0


async def _remove_from_chunk(connection: Connection, device: Removed, chunk: str) -> int:
    if device.passes:
        return await settle(connection, device, query("late_in_chunk", chunk=chunk))
    removed: int = await connection.fetchval(query("remove_from_chunk", chunk=chunk), device.id, AT_ONCE)
    return removed
