"""Groups of batches → committed rows: one binary COPY and one COMMIT where nothing stands in the way.

A key that is stored already (23505) sends the group the slow way: COPY to a temporary table, compare with what is
stored, INSERT the rest. A row that the database refuses for its data is found by halving and put into the dead letters.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import asyncpg
import numpy as np
from numpy.typing import NDArray

from gateway import settings
from gateway.contracts import DeadLetters, LayoutTable, Written
from gateway.errors import Reason, SinkUnavailable
from gateway.model import Batch, Block, Outcome
from gateway.telemetry import events
from gateway.timescale import copy_format
from gateway.timescale.assemble import CONFLICT, DUPLICATE, REJECTED, STORED, Group, Sorted, newest
from gateway.timescale.deadletters import to_letters
from gateway.timescale.dictionary import Dictionary
from gateway.timescale.pool import DATABASE_ERRORS, Direct, classify, connect, translated
from gateway.timescale.queries import query

RACES = 5
"""How often the slow way starts again because another gateway committed the same key in between."""
DROP_SECS = 2.0
"""Longest wait for the server to give up a command."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class RolledBack(Exception):
    """Leaves the transaction without a trace."""


class Writer:
    """`contracts.Sink` on the database. Keeps as many connections as are written on at once."""

    def __init__(
        self,
        database: settings.Database,
        dictionary: Dictionary,
        layouts: LayoutTable,
        dead_letters: DeadLetters,
        *,
        overwrite: bool,
    ) -> None:
        self._database = database
        self._dictionary = dictionary
        self._layouts = layouts
        self._dead_letters = dead_letters
        self._overwrite = overwrite
        self._idle: list[Direct] = []

    async def write(self, group: Sequence[Batch], *, atomic: bool = False) -> Written:
        """Return after COMMIT; see contracts.Sink."""
        table = self._layouts.table
        line = Group(group, table)
        if not line.names:
            return Written(line.outcomes(), [])
        devices = np.array(await self._dictionary.device_ids(line.names), np.int32)
        shapes = await self._dictionary.shape_ids(table[number] for number in line.present)
        parts = line.blocks(devices, shapes, last_wins=self._overwrite)
        for part in parts:
            await self._dictionary.note_pairs(_pairs(part.block))
        async with self._connection() as connection:
            if atomic:
                return await self._write_whole(connection, line, parts)
            await self._store(connection, line, parts)
            await self._settle(connection, line)
        if line.words:
            await self._dead_letters.put(to_letters(group, line.words, table))
            events.dead_lettered("database", Reason.REJECTED_BY_DATABASE, count=len(line.words))
        return Written(line.outcomes(), newest(_stored(line, parts)))

    async def close(self) -> None:
        """Close the connections that are not in use."""
        while self._idle:
            connection = self._idle.pop()
            try:
                await connection.close(timeout=self._database.connect_timeout_secs)
            except DATABASE_ERRORS:
                connection.terminate()

    async def _store(self, connection: Direct, line: Group, parts: list[Sorted]) -> None:
        """Store what can be stored, in as few transactions as possible."""
        try:
            await self._copy(connection, "messages", copy_format.COLUMNS, copy_format.encode(_blocks(parts)))
        except asyncpg.UniqueViolationError:
            await self._store_slowly(connection, line, parts)
        except asyncpg.PostgresError as exc:
            if classify(exc) != "data":
                raise
            await self._halve(connection, line, parts, exc)

    async def _store_slowly(self, connection: Direct, line: Group, parts: list[Sorted]) -> None:
        try:
            async with connection.transaction():
                await self._stage(connection, line, parts)
        except asyncpg.PostgresError as exc:
            if classify(exc) != "data":
                raise
            await self._halve(connection, line, parts, exc)

    async def _halve(self, connection: Direct, line: Group, parts: list[Sorted], exc: asyncpg.PostgresError) -> None:
        """Store each half on its own; what is refused alone is the row that the database refuses."""
        rows = [(part, i) for part in parts for i in range(len(part.block))]
        if len(rows) == 1:
            message = int(parts[0].messages[0])
            line.verdicts[message] = REJECTED
            line.words[message] = f"{exc.sqlstate}: {exc}"
            return
        for half in (rows[: len(rows) // 2], rows[len(rows) // 2 :]):
            await self._store(connection, line, _regroup(half))

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
        return Written(line.outcomes(), newest(_stored(line, parts)))

    async def _stage(self, connection: Direct, line: Group, parts: list[Sorted]) -> None:
        """Insert what is new; give each row whose key is stored already its verdict."""
        await self._copy_to_stage(connection, parts)
        count = sum([len(part.messages) for part in parts])
        for _ in range(RACES):
            duplicates, conflicts = await _repeats(connection, parts)
            if await self._insert_staged(connection, count - len(duplicates), len(conflicts)):
                line.verdicts[duplicates] = DUPLICATE
                line.verdicts[conflicts] = CONFLICT if not self._overwrite else STORED
                return
        raise SinkUnavailable("the same keys are being written elsewhere; try again")

    async def _settle(self, connection: Direct, line: Group) -> None:
        """Give messages that repeat a refused one of their group a verdict of their own."""
        contested = line.settle()
        if not contested:
            return
        async with connection.transaction():
            await self._copy_to_stage(connection, contested)
            duplicates, _ = await _repeats(connection, contested)
        line.verdicts[duplicates] = DUPLICATE

    async def _insert_staged(self, connection: Direct, fresh: int, conflicts: int) -> bool:
        """Insert; False (and nothing inserted) if a key appeared since it was looked for."""
        expected = fresh if self._overwrite else fresh - conflicts
        if not expected:
            return True
        savepoint = connection.transaction()
        await savepoint.start()
        done = await connection.execute(query("upsert_staged" if self._overwrite else "insert_staged"))
        if int(done.rpartition(" ")[2]) == expected:
            await savepoint.commit()
            return True
        await savepoint.rollback()
        return False

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

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Direct]:
        """Lend a connection; one that is in doubt afterwards is dropped."""
        async with translated():
            connection = self._reuse() or await self._connect()
            try:
                yield connection
            except BaseException:
                await _drop(connection)
                raise
            if not connection.is_closed():
                self._idle.append(connection)

    async def _connect(self) -> Direct:
        connection = await connect(
            self._database.url,
            name="gateway-writer",
            connect_timeout=self._database.connect_timeout_secs,
            command_timeout=self._database.write_timeout_secs,
        )
        try:
            await connection.execute(query("create_stage"))
        except BaseException:
            connection.terminate()
            raise
        return connection

    def _reuse(self) -> "Direct | None":
        """Return an idle connection; those that the server has closed meanwhile are passed over."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                return connection
        return None


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def _drop(connection: Direct) -> None:
    """Close a connection in doubt; the server is asked to give up what it still does there, for its locks."""
    try:
        await connection.close(timeout=DROP_SECS)
    except DATABASE_ERRORS:
        connection.terminate()


async def _repeats(connection: Direct, parts: Sequence[Sorted]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the staged messages whose key is stored already: with the same values, and with others."""
    messages = np.concatenate([part.messages for part in parts])
    times = np.concatenate([part.block.times for part in parts])
    found = await connection.fetchrow(query("staged_repeats"), _moment(int(times.min())), _moment(int(times.max())))
    assert found is not None  # noqa: S101 - aggregates always give a row
    return messages[found["duplicates"]], messages[found["conflicts"]]


def _moment(us: int) -> datetime:
    return EPOCH + timedelta(microseconds=us)


def _blocks(parts: Sequence[Sorted]) -> list[Block]:
    return [part.block for part in parts]


def _pairs(block: Block) -> list[int]:
    keys = (block.devices.astype(np.int64) << 32) | block.shapes
    first = np.concatenate(([True], keys[1:] != keys[:-1]))
    result: list[int] = keys[first].tolist()
    return result


def _regroup(rows: Sequence[tuple[Sorted, int]]) -> list[Sorted]:
    """Form parts again from single rows of parts."""
    wanted: dict[int, tuple[Sorted, list[int]]] = {}
    for part, i in rows:
        wanted.setdefault(id(part), (part, []))[1].append(i)
    return [part.take(np.array(picked, np.intp)) for part, picked in wanted.values()]


def _stored(line: Group, parts: Sequence[Sorted]) -> list[Block]:
    """Return what may be shown as state: duplicates too, conflicting and rejected messages not."""
    result = []
    for part in parts:
        shown = line.verdicts[part.messages] <= DUPLICATE
        result.append(part.block if shown.all() else part.block.take(np.flatnonzero(shown)))
    return result
