"""Groups of batches → committed rows: one binary COPY and one COMMIT where nothing stands in the way.

A key that is stored already (23505) sends the group the slow way: COPY to a temporary table, INSERT what is new, and
compare the rest with what is stored. Rows that the database refuses are found (see `division`) and become dead letters.
A group of more chunks than can be locked at once is stored in parts, each with a COMMIT of its own.
"""

import asyncio
from collections.abc import Sequence
from itertools import chain
from typing import NoReturn

import asyncpg
import numpy as np

from gateway.core import settings
from gateway.core.errors import AtomicTooWide, SinkUnavailable
from gateway.domain.contracts import DeadLetters, Written
from gateway.domain.model import Batch, Outcome
from gateway.domain.reasons import Reason
from gateway.telemetry import events
from gateway.timescale.chunks import Room, find_room
from gateway.timescale.connections.connect import Direct
from gateway.timescale.connections.direct import DirectConnections
from gateway.timescale.connections.pool import classify, is_crowded
from gateway.timescale.dead_letters.store import to_letters
from gateway.timescale.registry.late_messages import REMOVED
from gateway.timescale.write.assemble import CONFLICT, Group, Sorted, newest, pairs, stored
from gateway.timescale.write.bisect import (
    MANY,
    SIFTED_ROWS,
    WARY_GROUPS,
    but,
    by_time,
    count,
    halves,
    small,
    spread,
    told,
)
from gateway.timescale.write.name_ids import Dictionary
from gateway.timescale.write.staging import Stage, to_messages

ARRANGEMENTS = 3
"""How often a group is arranged, when ids change under it, before its sender is told to try again."""
TRIES = 3
"""Times that one chunk is tried again while the server has no locks left for it."""
CROWDED_SECS = 0.1
"""Pause before each of them."""


class RolledBack(Exception):
    """Leaves the transaction without a trace."""


class Writer:
    """`contracts.Sink` on the database. Keeps as many connections as are written on at once."""

    def __init__(
        self,
        database: settings.DatabaseSettings,
        dictionary: Dictionary,
        dead_letters: DeadLetters,
        *,
        overwrite: bool,
    ) -> None:
        self._database = database
        self._dictionary = dictionary
        self._lineage = dictionary.lineage
        self._dead_letters = dead_letters
        self._overwrite = overwrite
        self._stage = Stage(overwrite=overwrite, timeout=database.write_timeout_secs)
        self._room = Room(None, 1, 1, 1)
        """What a transaction may touch, as the server said last, or less after it was too much."""
        self._connections = DirectConnections(database, dictionary.lineage, prepare=self._prepare)
        self._wary = 0
        """Groups that are yet to be written in small parts."""

    async def write(self, group: Sequence[Batch], *, atomic: bool = False) -> Written:
        """Return after COMMIT; see contracts.Sink. What the database becoming another one overtakes is written anew."""
        for _ in range(ARRANGEMENTS):
            epoch = self._lineage.epoch
            try:
                written = await self._try(group, epoch, atomic=atomic)
            except SinkUnavailable:
                if epoch == self._lineage.epoch:
                    raise
                continue
            if written is not None:
                return written
        raise SinkUnavailable("the registry changes faster than it can be read; try again")

    async def _try(self, group: Sequence[Batch], epoch: int, *, atomic: bool) -> Written | None:
        """Return after COMMIT; None, with nothing written, if ids have changed since they were learnt."""
        line = Group(group)
        if not line.names:
            return Written(line.outcomes(), [])
        parts = await self._arranged(line, epoch)
        if parts is None:
            return None
        if atomic and line.words:
            return Written([Outcome(0, 0, (), sorted(line.words.items()))], [])
        async with self._connections.lend(epoch) as connection:
            if atomic:
                whole = await self._write_whole(connection, line, parts)
            else:
                for piece in self._pieces(parts):
                    await self._store(connection, line, piece)
                await self._settle(connection, line)
        if atomic:
            return whole or self._refuse(parts)
        if line.words:
            await self._dead_letters.put(letters := to_letters(group, line.words))
            events.dead_lettered("database", Reason.REJECTED_BY_DATABASE, count=len(letters), device=letters[0].device)
        return Written(line.outcomes(), newest(stored(line, parts)))

    def _refuse(self, parts: list[Sorted]) -> NoReturn:
        chunks, hours = spread(parts, self._room.width_us), (self._room.width_us or 0) // 3_600_000_000
        raise AtomicTooWide(
            f"the body has readings of {chunks} chunks of {hours} h, and with 'atomic' the database can take"
            f" {self._room.new} at once; send it without 'atomic', or in parts of less time",
            chunks=chunks,
            limit=self._room.new,
        )

    async def close(self) -> None:
        """Close the connections that are not in use."""
        await self._connections.close()

    async def _arranged(self, line: Group, epoch: int) -> list[Sorted] | None:
        """Return the messages as sorted blocks; None if a device was removed since its id was learnt: begin anew.

        The ids are those of this epoch, or else nothing is noted, and no connection is lent for them.
        """
        devices = np.array(await self._dictionary.device_ids(line.names), np.int32)
        shapes = await self._dictionary.shape_ids(line.layouts)
        gone = np.flatnonzero(devices == 0)
        if len(gone):  # each gets a number of its own, so that no two devices share a key
            numbers = {name: -n for n, name in enumerate(dict.fromkeys(line.names[i] for i in gone.tolist()), 1)}
            devices[gone] = [numbers[line.names[i]] for i in gone.tolist()]
        parts = line.blocks(devices, shapes, last_wins=self._overwrite)
        if len(gone):
            parts = _without_removed(line, parts)
        noted = [await self._dictionary.note_pairs(pairs(part.block), epoch=epoch) for part in parts]
        return parts if all(noted) else None

    def _pieces(self, parts: list[Sorted]) -> list[list[Sorted]]:
        """Return what is to be tried in one transaction: what can be locked, and little while rows are refused."""
        if not parts:
            return []
        pieces = by_time(parts, self._room.width_us, self._room.new)
        self._room = self._room.more()
        if not self._wary:
            return pieces
        self._wary -= 1
        return list(chain.from_iterable(map(small, pieces)))

    async def _store(self, connection: Direct, line: Group, parts: list[Sorted], *, tries: int = TRIES) -> None:
        """Store what can be stored, in as few transactions as possible."""
        try:
            await self._stage.copy(connection, parts)
        except asyncpg.UniqueViolationError:
            await self._store_slowly(connection, line, parts, tries=tries)
        except asyncpg.PostgresError as exc:
            await self._store_rest(connection, line, parts, exc, tries=tries)

    async def _store_slowly(self, connection: Direct, line: Group, parts: list[Sorted], *, tries: int) -> None:
        try:
            async with connection.transaction():
                await self._stage.put(connection, line, parts, width_us=self._room.width_us)
        except asyncpg.PostgresError as exc:
            await self._store_rest(connection, line, parts, exc, tries=tries)

    async def _store_rest(
        self, connection: Direct, line: Group, parts: list[Sorted], exc: asyncpg.PostgresError, *, tries: int
    ) -> None:
        """Store in parts what the database does not take as a whole. Raises `exc` if that is of no use."""
        if is_crowded(exc):
            await self._store_by_time(connection, line, parts, exc, tries=tries)
        elif classify(exc) == "data":
            await self._divide(connection, line, parts, exc)
        else:
            raise exc

    async def _store_by_time(
        self, connection: Direct, line: Group, parts: list[Sorted], exc: asyncpg.PostgresError, *, tries: int
    ) -> None:
        """Store fewer chunks at once; a single one is tried again, since somebody else has the locks. Raises `exc`."""
        chunks = spread(parts, self._room.width_us)
        if chunks > 1:
            self._room = self._room.less(chunks)
            for piece in by_time(parts, self._room.width_us, -(-chunks // 2)):
                await self._store(connection, line, piece)
        elif tries:
            await asyncio.sleep(CROWDED_SECS)
            await self._store(connection, line, parts, tries=tries - 1)
        else:
            raise exc

    async def _divide(self, connection: Direct, line: Group, parts: list[Sorted], exc: asyncpg.PostgresError) -> None:
        """Store the good rows; what is refused alone is a row that the database refuses."""
        self._wary = WARY_GROUPS
        rows, many, words = count(parts), len(line.words) >= MANY, f"{exc.sqlstate}: {exc}"
        place = 0 if rows == 1 else None if many else told(parts, exc)
        refused = [] if place is None else [place]
        if place is not None:
            line.reject(int(to_messages(parts)[place]), words)
        elif many and rows <= SIFTED_ROWS:
            refused = await self._sift(connection, line, parts)
        if refused:
            rest = [but(parts, refused)] if len(refused) < rows else []
        else:
            rest = small(parts, SIFTED_ROWS) if many and rows > SIFTED_ROWS else halves(parts)
        for piece in rest:
            await self._store(connection, line, piece)

    async def _sift(self, connection: Direct, line: Group, parts: list[Sorted]) -> list[int]:
        try:
            return await self._stage.sift(connection, line, parts)
        except asyncpg.PostgresError as exc:
            if classify(exc) != "data":
                raise
            return []  # even the temporary table refuses one: it has to be found by dividing

    async def _write_whole(self, connection: Direct, line: Group, parts: list[Sorted]) -> Written | None:
        """Store all of an atomic batch, or nothing; None if it touches more chunks than can be locked."""
        if len(by_time(parts, self._room.width_us, self._room.new)) > 1:
            return None
        try:
            async with connection.transaction():
                await self._stage.put(connection, line, parts, width_us=self._room.width_us)
                if (line.verdicts == CONFLICT).any():
                    raise RolledBack
        except RolledBack:
            await self._settle(connection, line)
            conflicts = np.flatnonzero(line.verdicts == CONFLICT).tolist()
            return Written([Outcome(0, 0, conflicts)], [])
        except asyncpg.PostgresError as exc:
            if is_crowded(exc) and spread(parts, self._room.width_us) > 1:
                return None
            if classify(exc) != "data":
                raise
            words = f"{exc.sqlstate}: {exc}"
            return Written([Outcome(0, 0, (), [(i, words) for i in range(len(line.names))])], [])
        return Written(line.outcomes(), newest(stored(line, parts)))

    async def _settle(self, connection: Direct, line: Group) -> None:
        """Give messages that repeat a refused one of their group a verdict of their own."""
        for piece in self._pieces(line.settle()):
            await self._stage.compare(connection, line, piece, width_us=self._room.width_us)

    async def _prepare(self, connection: Direct) -> None:
        """Make a new connection ready, and hear what a transaction on it may touch."""
        await self._stage.prepare(connection)
        self._room = await find_room(connection)


def _without_removed(line: Group, parts: Sequence[Sorted]) -> list[Sorted]:
    """Reject the messages whose device is not in the registry any more, and return the rest."""
    kept = []
    for part in parts:
        for message in part.messages[part.block.devices < 0].tolist():
            line.reject(message, REMOVED)
        rest = np.flatnonzero(part.block.devices > 0)
        if len(rest):
            kept.append(part.take(rest))
    return kept
