"""Groups of batches → committed rows: one binary COPY and one COMMIT where nothing stands in the way.

A key that is stored already (23505) sends the group the slow way: COPY to a temporary table, INSERT what is new, and
compare the rest with what is stored. Rows that the database refuses are found by halving and put into the dead letters.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import asyncpg
import numpy as np
from numpy.typing import NDArray

from gateway import settings
from gateway.contracts import DeadLetters, Written
from gateway.errors import Reason
from gateway.model import Batch, Block, Outcome
from gateway.telemetry import events
from gateway.timescale import copy_format
from gateway.timescale.assemble import CONFLICT, DUPLICATE, REJECTED, Group, Sorted, newest
from gateway.timescale.deadletters import to_letters
from gateway.timescale.dictionary import Dictionary
from gateway.timescale.pool import DATABASE_ERRORS, Direct, classify, connect, translated
from gateway.timescale.queries import query

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
        dead_letters: DeadLetters,
        *,
        overwrite: bool,
    ) -> None:
        self._database = database
        self._dictionary = dictionary
        self._dead_letters = dead_letters
        self._overwrite = overwrite
        self._idle: list[Direct] = []

    async def write(self, group: Sequence[Batch], *, atomic: bool = False) -> Written:
        """Return after COMMIT; see contracts.Sink."""
        line = Group(group)
        if not line.names:
            return Written(line.outcomes(), [])
        devices = np.array(await self._dictionary.device_ids(line.names), np.int32)
        shapes = await self._dictionary.shape_ids(line.layouts)
        parts = line.blocks(devices, shapes, last_wins=self._overwrite)
        for part in parts:
            await self._dictionary.note_pairs(_pairs(part.block))
        async with self._connection() as connection:
            if atomic:
                return await self._write_whole(connection, line, parts)
            await self._store(connection, line, parts)
            await self._settle(connection, line)
        if line.words:
            await self._dead_letters.put(to_letters(group, line.words))
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


async def _unchanged(connection: Direct, parts: Sequence[Sorted], staged: list[int]) -> list[int]:
    """Return which of these staged rows are stored with the same values."""
    times = np.concatenate([part.block.times for part in parts])
    bounds = _moment(int(times.min())), _moment(int(times.max()))
    same: list[int] = await connection.fetchval(query("staged_duplicates"), *bounds, staged)
    return same


def _messages(parts: Sequence[Sorted]) -> NDArray[np.intp]:
    return np.concatenate([part.messages for part in parts])


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
