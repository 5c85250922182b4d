"""Dead letters, looked through. In: filters, marks. Out: letters and counts; marks and removals after COMMIT."""

from msgspec.structs import asdict

from gateway.core.errors import NotFound
from gateway.domain.dead_letters import DeadLetterFilter, StoredDeadLetter
from gateway.timescale.connections.pool import Pool
from gateway.timescale.queries import query
from gateway.timescale.registry.audit import UNNAMED, AuditedAct, purging

SHOWN_BYTES = 4096
"""Payloads up to this size are part of a page; larger ones are read one by one."""
REMOVE_AT_ONCE = 1000
"""Rows one statement removes, so that none holds its locks for long."""


class StoredDeadLetters:
    """The dead letters that are kept. All methods raise SinkUnavailable and SinkFault."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def page(
        self, wanted: DeadLetterFilter, /, *, before: int | None = None, limit: int = 100
    ) -> list[StoredDeadLetter]:
        """Return letters, newest id first; the next page lies before the last one's id."""
        filters = (*_filters(wanted), wanted.replayed)
        async with self._pool.connection() as connection:
            rows = await connection.fetch(query("list_dead_letters"), *filters, before, limit, SHOWN_BYTES)
        return [StoredDeadLetter(**row) for row in rows]

    async def find(self, letter_id: int) -> StoredDeadLetter:
        """Return one letter with its payload. Raises NotFound."""
        async with self._pool.connection() as connection:
            row = await connection.fetchrow(query("dead_letter"), letter_id)
        if row is None:
            raise _no_such(letter_id)
        return StoredDeadLetter(**row)

    async def bytes_kept(self) -> int:
        """Return about how many bytes all letters take together."""
        async with self._pool.connection() as connection:
            size: int = await connection.fetchval(query("dead_letter_bytes"))
        return size

    async def open_ids(self, wanted: DeadLetterFilter, /, *, after: int = 0, limit: int = 100) -> list[int]:
        """Return ids of letters that were not replayed, lowest first."""
        async with self._pool.connection() as connection:
            rows = await connection.fetch(query("open_dead_letters"), *_filters(wanted), after, limit)
        return [row["id"] for row in rows]

    async def count_open(self, wanted: DeadLetterFilter, /, *, after: int = 0) -> int:
        """Return how many letters beyond this id were not replayed."""
        async with self._pool.connection() as connection:
            count: int = await connection.fetchval(query("count_open_dead_letters"), *_filters(wanted), after)
        return count

    async def mark_replayed(self, letter: StoredDeadLetter, act: AuditedAct) -> AuditedAct:
        """Note that a replay was accepted whole; it stays open if the same item came again since `letter` was read.

        Returns the act with this in its line of audit.
        """
        async with self._pool.connection() as connection, connection.transaction():
            await connection.execute(query("mark_dead_letter_replayed"), letter.id, letter.count, letter.first_at)
            return await act.record(connection, replayed=1)

    async def note_refused(self, act: AuditedAct, count: int) -> AuditedAct:
        """Note that letters were refused once more: nothing of them has changed."""
        async with self._pool.connection() as connection, connection.transaction():
            return await act.record(connection, refused=count)

    async def remove(self, letter_id: int, *, actor: str = UNNAMED) -> None:
        """Remove one letter for good. Raises NotFound."""
        removed, _ = await self._remove(DeadLetterFilter(), letter_id, purging(actor, str(letter_id)))
        if not removed:
            raise _no_such(letter_id)

    async def purge(self, wanted: DeadLetterFilter, /, *, actor: str = UNNAMED) -> int:
        """Remove the wanted letters for good, lowest id first, and return how many there were."""
        filters = {name: value for name, value in asdict(wanted).items() if value is not None}
        total, act = 0, purging(actor, **filters)
        while True:
            removed, act = await self._remove(wanted, None, act)
            total += removed
            if not removed:
                return total

    async def _remove(self, wanted: DeadLetterFilter, letter_id: int | None, act: AuditedAct) -> tuple[int, AuditedAct]:
        filters = (*_filters(wanted), wanted.replayed)
        async with self._pool.connection() as connection, connection.transaction():
            gone: int = await connection.fetchval(query("remove_dead_letters"), *filters, letter_id, REMOVE_AT_ONCE)
            return gone, await act.record(connection, removed=gone) if gone else act


def _filters(wanted: DeadLetterFilter) -> tuple[object, ...]:
    return wanted.code, wanted.device, wanted.source, wanted.since


def _no_such(letter_id: int) -> NotFound:
    return NotFound(f"there is no dead letter {letter_id}")
