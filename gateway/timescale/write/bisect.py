"""The division of groups that the database does not take whole. In: sorted rows. Out: good ones stored, bad ones named.

PostgreSQL says at which line a COPY failed: that row is left out, and the rest tried again. Where it does not say, the
group is halved, two statements for each doubling of the rows. What was copied before a poisoned row was copied in vain,
so groups are cut small for a while once there was one. A group that needs more locks than there are (53200) is cut by
time; the parts are committed one by one.
"""

import asyncio
from itertools import chain

import asyncpg

from gateway.timescale.chunks import Room, find_room
from gateway.timescale.connections.hosts import Direct
from gateway.timescale.connections.pool import classify, is_crowded
from gateway.timescale.write.assemble import Group, Sorted
from gateway.timescale.write.split import by_chunks, by_rows, count_chunks, count_rows, failed_row, halves, without
from gateway.timescale.write.staging import Stage, to_messages

MANY_ROWS = 8
"""Rows refused in one group from which on the rest is checked: it may be all of them, for a standing cause."""
SIFTED_ROWS = 5000
"""Rows checked in one statement: a fraction of a second, and a second or two on a busy server."""
SMALL_ROWS = 2000
"""Rows of the parts that groups are cut into when rows were refused lately; larger ones are hardly faster."""
SMALL_GROUPS = 50
"""Groups that are cut small after one of which rows were refused."""
TRIES = 3
"""Times that one chunk is tried again while the server has no locks left for it."""
CROWDED_SECS = 0.1
"""Pause before each of them."""


class Bisector:
    """What one writer has learnt of how much may go into one transaction."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._small_groups = 0
        """Groups that are yet to be written in small parts."""
        self.room = Room(None, 1, 1, 1)
        """What a transaction may touch, as the server said last, or less after it was too much."""

    async def prepare(self, connection: Direct) -> None:
        """Make a new connection ready, and hear what a transaction on it may touch."""
        await self._stage.prepare(connection)
        self.room = await find_room(connection)

    def pieces(self, parts: list[Sorted]) -> list[list[Sorted]]:
        """Return what is to be tried in one transaction: what can be locked, and little while rows are refused."""
        if not parts:
            return []
        pieces = by_chunks(parts, self.room.width_us, self.room.new)
        self.room = self.room.more()
        if not self._small_groups:
            return pieces
        self._small_groups -= 1
        return list(chain.from_iterable([by_rows(piece, SMALL_ROWS) for piece in pieces]))

    async def store(self, connection: Direct, group: Group, parts: list[Sorted], *, tries: int = TRIES) -> None:
        """Store what can be stored, in as few transactions as possible; what is refused is rejected in the group.

        Raises DATABASE_ERRORS but data errors.
        """
        try:
            try:
                await self._stage.copy(connection, parts)
            except asyncpg.UniqueViolationError:
                async with connection.transaction():
                    await self._stage.put(connection, group, parts, width_us=self.room.width_us)
        except asyncpg.PostgresError as exc:
            if is_crowded(exc):
                await self._store_by_chunks(connection, group, parts, exc, tries=tries)
            elif classify(exc) == "data":
                await self._divide(connection, group, parts, exc)
            else:
                raise

    async def _store_by_chunks(
        self, connection: Direct, group: Group, parts: list[Sorted], exc: asyncpg.PostgresError, *, tries: int
    ) -> None:
        """Store fewer chunks at once; a single one is tried again, since somebody else has the locks. Raises `exc`."""
        chunks = count_chunks(parts, self.room.width_us)
        if chunks > 1:
            self.room = self.room.less(chunks)
            for piece in by_chunks(parts, self.room.width_us, -(-chunks // 2)):
                await self.store(connection, group, piece)
        elif tries:
            await asyncio.sleep(CROWDED_SECS)
            await self.store(connection, group, parts, tries=tries - 1)
        else:
            raise exc

    async def _divide(self, connection: Direct, group: Group, parts: list[Sorted], exc: asyncpg.PostgresError) -> None:
        """Store the good rows; what is refused alone is a row that the database refuses."""
        self._small_groups = SMALL_GROUPS
        rows, many = count_rows(parts), len(group.errors) >= MANY_ROWS
        place = 0 if rows == 1 else None if many else failed_row(parts, exc)
        refused = [] if place is None else [place]
        if place is not None:
            group.reject(int(to_messages(parts)[place]), f"{exc.sqlstate}: {exc}")
        elif many and rows <= SIFTED_ROWS:
            refused = await self._sift(connection, group, parts)
        if refused:
            rest = [without(parts, refused)] if len(refused) < rows else []
        else:
            rest = by_rows(parts, SIFTED_ROWS) if many and rows > SIFTED_ROWS else halves(parts)
        for piece in rest:
            await self.store(connection, group, piece)

    async def _sift(self, connection: Direct, group: Group, parts: list[Sorted]) -> list[int]:
        try:
            return await self._stage.sift(connection, group, parts)
        except asyncpg.PostgresError as exc:
            if classify(exc) != "data":
                raise
            return []  # even the temporary table refuses one: it has to be found by dividing
