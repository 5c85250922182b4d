"""Groups of batches → committed rows: one binary COPY and one COMMIT where nothing stands in the way.

A key that is stored already (23505) sends the group the slow way: COPY to a temporary table, INSERT what is new, and
compare the rest with what is stored. Rows that the database refuses are found (see `division`) and become dead letters.
"""

from collections.abc import AsyncIterator, Sequence

import asyncpg
import numpy as np
from numpy.typing import NDArray

from gateway import settings
from gateway.contracts import DeadLetters, Written
from gateway.errors import SinkUnavailable
from gateway.model import Batch, Block, Outcome
from gateway.moments import to_datetime
from gateway.reasons import Reason
from gateway.telemetry import events
from gateway.timescale import copy_format
from gateway.timescale.assemble import CONFLICT, DUPLICATE, Group, Sorted, newest, pairs, stored
from gateway.timescale.deadletters import to_letters
from gateway.timescale.dictionary import Dictionary
from gateway.timescale.direct import DirectConnections
from gateway.timescale.division import MANY, SIFTED_ROWS, WARY_GROUPS, but, count, halves, small, told
from gateway.timescale.pool import Direct, classify
from gateway.timescale.queries import query

ARRANGEMENTS = 3
"""How often a group is arranged, when ids change under it, before its sender is told to try again."""
REMOVED = "the device was removed from the registry; register it again, then replay this"
"""Said of messages that were taken in before this gateway heard of it."""


class RolledBack(Exception):
    """Leaves the transaction without a trace."""


class Writer:
    """`contracts.Sink` on the database. Keeps as many connections as are written on at once."""

    def __init__(
        self,
        database: settings.Database,
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
        self._connections = DirectConnections(database, dictionary.lineage)
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
                return await self._write_whole(connection, line, parts)
            for piece in self._pieces(parts):
                await self._store(connection, line, piece)
            await self._settle(connection, line)
        if line.words:
            await self._dead_letters.put(to_letters(group, line.words))
            events.dead_lettered("database", Reason.REJECTED_BY_DATABASE, count=len(line.words))
        return Written(line.outcomes(), newest(stored(line, parts)))

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
        """Return what is to be tried in one transaction: all of it, or little while rows are being refused."""
        if not self._wary:
            return [parts] if parts else []
        self._wary -= 1
        return small(parts)

    async def _store(self, connection: Direct, line: Group, parts: list[Sorted]) -> None:
        """Store what can be stored, in as few transactions as possible."""
        try:
            await self._copy(connection, "messages", copy_format.COLUMNS, copy_format.encode(_blocks(parts)))
        except asyncpg.UniqueViolationError:
            await self._store_slowly(connection, line, parts)
        except asyncpg.PostgresError as exc:
            if classify(exc) != "data":
                raise
            await self._divide(connection, line, parts, exc)

    async def _store_slowly(self, connection: Direct, line: Group, parts: list[Sorted]) -> None:
        try:
            async with connection.transaction():
                await self._stage(connection, line, parts)
        except asyncpg.PostgresError as exc:
            if classify(exc) != "data":
                raise
            await self._divide(connection, line, parts, exc)

    async def _divide(self, connection: Direct, line: Group, parts: list[Sorted], exc: asyncpg.PostgresError) -> None:
        """Store the good rows; what is refused alone is a row that the database refuses."""
        self._wary = WARY_GROUPS
        rows, many, words = count(parts), len(line.words) >= MANY, f"{exc.sqlstate}: {exc}"
        place = 0 if rows == 1 else None if many else told(parts, exc)
        refused = [] if place is None else [place]
        if place is not None:
            line.reject(int(_messages(parts)[place]), words)
        elif many and rows <= SIFTED_ROWS:
            refused = await self._sift(connection, line, parts)
        if refused:
            rest = [but(parts, refused)] if len(refused) < rows else []
        else:
            rest = small(parts, SIFTED_ROWS) if many and rows > SIFTED_ROWS else halves(parts)
        for piece in rest:
            await self._store(connection, line, piece)

    async def _sift(self, connection: Direct, line: Group, parts: list[Sorted]) -> list[int]:
        """Reject, in one statement, what the constraints of the table refuse; return the places of these rows."""
        try:
            async with connection.transaction():
                await self._copy_to_stage(connection, parts)
                found = await connection.fetch(query("sift"))
        except asyncpg.PostgresError as exc:
            if classify(exc) != "data":
                raise
            return []  # even the temporary table refuses one: it has to be found by dividing
        messages = _messages(parts)
        for place, words in found:
            line.reject(int(messages[place]), words)
        return [place for place, _ in found]

    async def _write_whole(self, connection: Direct, line: Group, parts: list[Sorted]) -> Written:
        """Store all of an atomic batch, or nothing."""
        try:
            async with connection.transaction():
                await self._stage(connection, line, parts)
                if (line.verdicts == CONFLICT).any():
                    raise RolledBack
        except RolledBack:
            await self._settle(connection, line)
            conflicts = np.flatnonzero(line.verdicts == CONFLICT).tolist()
            return Written([Outcome(0, 0, conflicts)], [])
        except asyncpg.PostgresError as exc:
            if classify(exc) != "data":
                raise
            words = f"{exc.sqlstate}: {exc}"
            return Written([Outcome(0, 0, (), [(i, words) for i in range(len(line.names))])], [])
        return Written(line.outcomes(), newest(stored(line, parts)))

    async def _stage(self, connection: Direct, line: Group, parts: list[Sorted]) -> None:
        """Insert what is new, or else give it its verdict. Looks after inserting: no other gateway can come between."""
        await self._copy_to_stage(connection, parts)
        kept: list[int] = await connection.fetchval(query("upsert_staged" if self._overwrite else "insert_staged"))
        messages = _messages(parts)
        line.verdicts[messages[kept]] = DUPLICATE if self._overwrite else CONFLICT
        if kept and not self._overwrite:
            line.verdicts[messages[await _unchanged(connection, parts, kept)]] = DUPLICATE

    async def _settle(self, connection: Direct, line: Group) -> None:
        """Give messages that repeat a refused one of their group a verdict of their own."""
        contested = line.settle()
        if not contested:
            return
        messages = _messages(contested)
        async with connection.transaction():
            await self._copy_to_stage(connection, contested)
            same = await _unchanged(connection, contested, list(range(len(messages))))
        line.verdicts[messages[same]] = DUPLICATE

    async def _copy_to_stage(self, connection: Direct, parts: list[Sorted]) -> None:
        data = copy_format.encode(_blocks(parts), numbered=True)
        await self._copy(connection, "stage", copy_format.STAGED_COLUMNS, data)

    async def _copy(self, connection: Direct, table: str, columns: Sequence[str], data: bytes) -> None:
        await connection.copy_to_table(
            table,
            source=_once(data),
            columns=columns,
            format="binary",
            timeout=self._database.write_timeout_secs,
        )


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def _unchanged(connection: Direct, parts: Sequence[Sorted], staged: list[int]) -> list[int]:
    """Return which of these staged rows are stored with the same values."""
    times = np.concatenate([part.block.times for part in parts])
    bounds = to_datetime(int(times.min())), to_datetime(int(times.max()))
    same: list[int] = await connection.fetchval(query("staged_duplicates"), *bounds, staged)
    return same


def _messages(parts: Sequence[Sorted]) -> NDArray[np.intp]:
    return np.concatenate([part.messages for part in parts])


def _blocks(parts: Sequence[Sorted]) -> list[Block]:
    return [part.block for part in parts]


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
