"""The stage: a temporary table beside `messages`. In: sorted rows. Out: what became of them there.

One call writes once: it never tries again, and never opens a transaction but to look. Errors are the library's.
"""

from collections.abc import AsyncIterator, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from gateway.core.timestamps import to_datetime
from gateway.domain.history import Span
from gateway.domain.model import Block
from gateway.timescale.connections.hosts import Direct
from gateway.timescale.queries import query
from gateway.timescale.write import copy_format
from gateway.timescale.write.assemble import CONFLICT, DUPLICATE, Group, Sorted


class Stage:
    """Where rows go whose key may be stored already."""

    def __init__(self, *, overwrite: bool) -> None:
        self._overwrite = overwrite

    async def prepare(self, connection: Direct) -> None:
        """Make on a new connection what the other methods need."""
        await connection.execute(query("create_stage"))
        await connection.execute(query("create_sift"))

    async def copy(self, connection: Direct, parts: Sequence[Sorted]) -> None:
        """Copy into `messages`."""
        await self._copy(connection, "messages", copy_format.COLUMNS, copy_format.encode(_blocks(parts)))

    async def put(self, connection: Direct, group: Group, parts: Sequence[Sorted], *, width_us: int | None) -> None:
        """Insert what is new, or else give it its verdict. Looks after inserting: no other gateway can come between."""
        kept = await self.insert(connection, parts)
        messages = to_messages(parts)
        group.verdicts[messages[kept]] = DUPLICATE if self._overwrite else CONFLICT
        if kept and not self._overwrite:
            group.verdicts[messages[await _unchanged(connection, parts, kept, width_us)]] = DUPLICATE

    async def insert(self, connection: Direct, parts: Sequence[Sorted]) -> list[int]:
        """Insert what is new by way of the stage; return the places of the rows that were not inserted."""
        await self._fill(connection, parts)
        kept: list[int] = await connection.fetchval(query("upsert_staged" if self._overwrite else "insert_staged"))
        return kept

    async def compare(self, connection: Direct, group: Group, parts: Sequence[Sorted], *, width_us: int | None) -> None:
        """Give rows that are stored already with the same values their verdict; insert nothing."""
        messages = to_messages(parts)
        async with connection.transaction():
            await self._fill(connection, parts)
            same = await _unchanged(connection, parts, range(len(messages)), width_us)
        group.verdicts[messages[same]] = DUPLICATE

    async def sift(self, connection: Direct, group: Group, parts: Sequence[Sorted]) -> list[int]:
        """Reject, in one statement, what the constraints of the table refuse; return the places of these rows."""
        async with connection.transaction():
            await self._fill(connection, parts)
            found = await connection.fetch(query("sift"))
        messages = to_messages(parts)
        for place, words in found:
            group.reject(int(messages[place]), words)
        return [place for place, _ in found]

    async def _fill(self, connection: Direct, parts: Sequence[Sorted]) -> None:
        data = copy_format.encode(_blocks(parts), numbered=True)
        await self._copy(connection, "stage", copy_format.STAGED_COLUMNS, data)

    async def _copy(self, connection: Direct, table: str, columns: Sequence[str], data: bytes) -> None:
        await connection.copy_to_table(table, source=_once(data), columns=columns, format="binary")


def to_messages(parts: Sequence[Sorted]) -> NDArray[np.intp]:
    """Return where the rows of a group stand in its line."""
    return np.concatenate([part.messages for part in parts])


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def _unchanged(
    connection: Direct, parts: Sequence[Sorted], staged: Iterable[int], width_us: int | None
) -> list[int]:
    """Return which of these staged rows are stored with the same values.

    Looked for run by run: what lies between two times is locked, and there may be years of other chunks.
    """
    times = np.concatenate([part.block.times for part in parts])
    places = np.fromiter(staged, np.intp)
    same: list[int] = []
    for rows, span in _runs(times[places], width_us):
        bounds = to_datetime(span.start_us), to_datetime(span.end_us)
        same += await connection.fetchval(query("staged_duplicates"), *bounds, places[rows].tolist())
    return same


def _runs(times: NDArray[np.int64], width_us: int | None) -> list[tuple[NDArray[np.intp], Span]]:
    """Return the rows in groups whose chunks follow each other, and the first and the last time of each."""
    order = np.argsort(times)
    chunks = times[order] // (width_us or np.iinfo(np.int64).max)
    runs = np.split(order, np.flatnonzero(np.diff(chunks) > 1) + 1)
    return [(run, Span(int(times[run[0]]), int(times[run[-1]]))) for run in runs if len(run)]


def _blocks(parts: Sequence[Sorted]) -> list[Block]:
    return [part.block for part in parts]
