"""In: questions about dead letters. Out: letters and counts; marks and removals after COMMIT. Never edits a payload."""

from gateway.errors import NotFound
from gateway.letters import Letter, Wanted
from gateway.timescale.pool import Pool
from gateway.timescale.queries import query

SHOWN_BYTES = 4096
"""Payloads up to this size are part of a page; larger ones are read one by one."""
REMOVE_AT_ONCE = 1000
"""Rows one statement removes, so that none holds its locks for long."""


class LetterBox:
    """The dead letters that are kept. All methods raise SinkUnavailable and SinkFault."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def page(self, wanted: Wanted, *, before: int | None = None, limit: int = 100) -> list[Letter]:
        """Return letters, newest id first; the next page lies before the last one's id."""
        filters = (*_filters(wanted), wanted.replayed)
        async with self._pool.connection() as connection:
            rows = await connection.fetch(query("list_dead_letters"), *filters, before, limit, SHOWN_BYTES)
        return [Letter(**row) for row in rows]

    async def find(self, letter_id: int) -> Letter:
        """Return one letter with its payload. Raises NotFound."""
        async with self._pool.connection() as connection:
            row = await connection.fetchrow(query("dead_letter"), letter_id)
        if row is None:
            raise _no_such(letter_id)
        return Letter(**row)

    async def bytes_kept(self) -> int:
        """Return about how many bytes all letters take together."""
        async with self._pool.connection() as connection:
            size: int = await connection.fetchval(query("dead_letter_bytes"))
        return size

    async def open_ids(self, wanted: Wanted, *, after: int = 0, limit: int = 100) -> list[int]:
        """Return ids of letters that were not replayed, lowest first."""
        async with self._pool.connection() as connection:
            rows = await connection.fetch(query("open_dead_letters"), *_filters(wanted), after, limit)
        return [row["id"] for row in rows]

    async def count_open(self, wanted: Wanted, *, after: int = 0) -> int:
        """Return how many letters beyond this id were not replayed."""
        async with self._pool.connection() as connection:
            count: int = await connection.fetchval(query("count_open_dead_letters"), *_filters(wanted), after)
        return count

    async def mark_replayed(self, letter: Letter) -> None:
        """Note that a replay was accepted whole, unless the same item was refused again since `letter` was read.

        After a restore the same id may be another letter's, which is left as it is.
        """
        async with self._pool.connection() as connection:
            await connection.execute(query("mark_dead_letter_replayed"), letter.id, letter.count, letter.first_at)

    async def remove(self, letter_id: int) -> None:
        """Remove one letter for good. Raises NotFound."""
        if not await self._remove(Wanted(), letter_id):
            raise _no_such(letter_id)

    async def purge(self, wanted: Wanted) -> int:
        """Remove the wanted letters for good, lowest id first, and return how many there were."""
        total = 0
        while removed := await self._remove(wanted, None):
            total += removed
        return total

    async def _remove(self, wanted: Wanted, letter_id: int | None) -> int:
        filters = (*_filters(wanted), wanted.replayed)
        async with self._pool.connection() as connection:
            gone: int = await connection.fetchval(query("remove_dead_letters"), *filters, letter_id, REMOVE_AT_ONCE)
        return gone


def _filters(wanted: Wanted) -> tuple[object, ...]:
    return wanted.code, wanted.device, wanted.source, wanted.since


def _no_such(letter_id: int) -> NotFound:
    return NotFound(f"there is no dead letter {letter_id}")
