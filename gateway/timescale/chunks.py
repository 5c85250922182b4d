"""The chunks of `messages`. In: a connection. Out: how many a transaction may touch, windows of so many. Only reads.

Every chunk that a transaction touches costs locks, and all sessions of a server share one table of locks: when it is
full everybody gets 53200. So a statement of ours takes a small share of it, whatever times it is about. An ordinary
table has no chunks and needs none of this.
"""

import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from gateway.domain.history import Span
from gateway.timescale.connections.pool import Connection, is_crowded
from gateway.timescale.queries import query

SHARE = 16
"""A transaction takes at most this part of the lock table, or what PostgreSQL itself reckons for one."""
NEW_CHUNK_LOCKS = 8
"""Locks that a new chunk takes, without its indexes: itself, its dimension, its TOAST table (TimescaleDB 2.19)."""
NEW_INDEX_LOCKS = 2
"""And each of its indexes. Reading takes one lock for the chunk and one for each index."""
FRESH_SECS = 1.0
"""How long the count of chunks is believed."""
CROWDED_SECS = 600.0
"""How long after a shortage of locks windows stay smaller."""
EVER = Span(-62_135_596_800_000_000, 253_370_764_800_000_000)
"""The years 1 to 9998 (UTC): all times that a reading can have."""


class Room(NamedTuple):
    """What one transaction may touch."""

    width_us: int | None
    """Length of the chunks that are made now; None: the table has none."""
    new: int
    """Chunks that it writes to: each may have to be made."""
    old: int
    """Chunks that it reads."""
    full: int
    """What `new` was, before it turned out to be too much."""

    def less(self, chunks: int) -> "Room":
        """Return what is left to try when so many chunks were too much."""
        return self._replace(new=max(1, chunks // 2))

    def more(self) -> "Room":
        """Return a little more, up to what the server said: whoever had its locks may be gone."""
        return self._replace(new=min(self.new + 1, self.full))


async def find_room(connection: Connection) -> Room:
    """Ask the server. Raises DATABASE_ERRORS."""
    row = await connection.fetchrow(query("lock_table"))
    assert row is not None  # noqa: S101 -- a select without from always gives a row
    locks = max(row["each"], row["each"] * row["sessions"] // SHARE)
    width = await connection.fetchval(query("chunk_width")) if row["timescale"] else None
    new = locks // (NEW_CHUNK_LOCKS + NEW_INDEX_LOCKS * row["indexes"])
    new = max(1, new)
    return Room(width, new, max(1, locks // (1 + row["indexes"])), new)


class Windows:
    """All time, cut where it is needed so that no part holds more than `most` of the chunks that begin at `starts`."""

    def __init__(self, starts: Sequence[int] = (), most: int = 1) -> None:
        self._starts = starts
        self._most = most

    @property
    def are_many(self) -> bool:
        """Whether all time together is too much."""
        return len(self._starts) > self._most

    def over(self, span: Span, edge: Callable[[int], int] | None = None) -> list[Span]:
        """Return the windows of a span that is not empty, in order of time.

        With `edge`, which gives the start of the bucket of a time, they are cut there wherever a bucket fits.
        """
        found: list[Span] = []
        while span.start_us < span.end_us:
            end = self._end(span)
            if edge is not None and end < span.end_us and edge(end) > span.start_us:
                end = edge(end)
            found.append(Span(span.start_us, end))
            span = Span(end, span.end_us)
        return found

    def first(self, span: Span) -> Span:
        """Return the part of a span that is read first, from its start."""
        return Span(span.start_us, self._end(span))

    def last(self, span: Span) -> Span:
        """Return the part of a span that is read first, from its end."""
        at = bisect_right(self._starts, span.end_us - 1)
        start = self._starts[at - self._most] if at > self._most else span.start_us
        return Span(max(span.start_us, start), span.end_us)

    def together(self, spans: Sequence[Span]) -> list[list[int]]:
        """Return the places of the spans in groups that may be read by one statement; each is within a window."""
        groups: list[list[int]] = []
        reach: Span | None = None
        for at in sorted(range(len(spans)), key=lambda at: spans[at]):
            span = spans[at]
            joined = span if reach is None else Span(reach.start_us, max(reach.end_us, span.end_us))
            if reach is None or self._end(joined) < joined.end_us:
                groups.append([])
                joined = span
            groups[-1].append(at)
            reach = joined
        return groups

    def _end(self, span: Span) -> int:
        """Return where the window that begins with a span ends, at the latest with the span."""
        inside = bisect_right(self._starts, span.start_us) - 1  # the chunk that the start lies in
        beyond = max(inside, 0) + self._most
        return min(span.end_us, self._starts[beyond]) if beyond < len(self._starts) else span.end_us


class Calendar:
    """The chunks of `messages` as they are now, for whoever reads on the same database again and again."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._until = 0.0
        self._count = -1
        self._share = 1
        """What windows are divided by since there was a shortage of locks."""
        self._whole_at = 0.0
        self._windows = Windows()

    async def windows(self, connection: Connection) -> Windows:
        """Return the windows; chunks that were made within the last second may not be known. Raises DATABASE_ERRORS.

        If there are several, each statement on the connection is planned for its own times from now on.
        """
        if self._monotonic() >= self._until:
            await self._refresh(connection)
        if self._windows.are_many:
            await connection.execute(query("plan_each"))
        return self._windows

    @contextmanager
    def learning(self) -> Iterator[None]:
        """Halve the windows for a while if the server has no locks left for what is read within the block."""
        try:
            yield
        except BaseException as exc:
            if is_crowded(exc) or (exc.__cause__ and is_crowded(exc.__cause__)):
                self._share, self._count, self._until = self._share * 2, -1, 0.0
                self._whole_at = self._monotonic() + CROWDED_SECS
            raise

    async def _refresh(self, connection: Connection) -> None:
        count = await connection.fetchval(query("count_chunks"))
        if self._share > 1 and self._monotonic() >= self._whole_at:
            self._share, self._count = 1, -1
        if count != self._count:
            self._windows = await self._look(connection) if count > 1 else Windows()
            self._count = count
        self._until = self._monotonic() + FRESH_SECS

    async def _look(self, connection: Connection) -> Windows:
        room = await find_room(connection)
        if room.width_us is None:  # partitions that somebody else made
            return Windows()
        starts = [row["start_us"] for row in await connection.fetch(query("chunk_starts"))]
        return Windows(starts, max(1, room.old // self._share))
