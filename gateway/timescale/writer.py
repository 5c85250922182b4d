"""Groups of batches → committed rows: one binary COPY and one COMMIT where nothing stands in the way.

A key that is stored already (23505) sends the group the slow way: COPY to a temporary table, compare with what is
stored, INSERT the rest. A row that the database refuses for its data is found by halving and put into the dead letters.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import msgspec
import numpy as np

from gateway import settings
from gateway.contracts import DeadLetter, DeadLetters, LayoutTable, Written
from gateway.errors import Reason, SinkUnavailable
from gateway.model import Batch, Block, Outcome
from gateway.timescale import copy_format
from gateway.timescale.assemble import CONFLICT, DUPLICATE, REJECTED, Group, Sorted, newest
from gateway.timescale.dictionary import Dictionary
from gateway.timescale.pool import DATABASE_ERRORS, Direct, classify, connect, translated
from gateway.timescale.queries import query

RACES = 5
"""How often the slow way starts again because another gateway committed the same key in between."""
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
        devices = np.array(await self._dictionary.device_ids(line.names), np.int32)
        shapes = await self._dictionary.shape_ids(table[number] for number in line.present)
        parts = line.blocks(devices, shapes, last_wins=self._overwrite)
        for part in parts:
            await self._dictionary.note_pairs(_pairs(part.block))
        async with self._connection() as connection:
            if atomic:
                return await self._write_whole(connection, line, parts)
            await self._store(connection, line, parts)
        if line.words:
            await self._bury(line)
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
        batch = line.batches[0]
        try:
            async with connection.transaction():
                await self._stage(connection, line, parts)
                if (line.verdicts == CONFLICT).any():
                    raise RolledBack
        except RolledBack:
            conflicts = np.flatnonzero(line.verdicts == CONFLICT).tolist()
            return Written([Outcome(0, 0, conflicts)], [])
        except asyncpg.PostgresError as exc:
            if classify(exc) != "data":
                raise
            words = f"{exc.sqlstate}: {exc}"
            return Written([Outcome(0, 0, (), [(i, words) for i in range(len(batch))])], [])
        return Written(line.outcomes(), newest(_stored(line, parts)))

    async def _stage(self, connection: Direct, line: Group, parts: list[Sorted]) -> None:
        """Insert what is new; give each row whose key is stored already its verdict."""
        blocks = _blocks(parts)
        data = copy_format.encode(blocks, numbered=True)
        await self._copy(connection, "stage", copy_format.STAGED_COLUMNS, data)
        count = sum(map(len, blocks))
        bounds = [_moment(f(int(f(b.times)) for b in blocks if len(b))) for f in (min, max)] if count else []
        messages = np.concatenate([part.messages for part in parts])
        for _ in range(RACES):
            repeats = await connection.fetchrow(query("staged_repeats"), *bounds)
            assert repeats is not None  # noqa: S101 - aggregates always give a row
            duplicates, conflicts = repeats["duplicates"], repeats["conflicts"]
            if await self._insert_staged(connection, count - len(duplicates), len(conflicts)):
                line.verdicts[messages[duplicates]] = DUPLICATE
                line.verdicts[messages[conflicts]] = CONFLICT if not self._overwrite else 0
                return
        raise SinkUnavailable("the same keys are being written elsewhere; try again")

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

    async def _copy(self, connection: Direct, table: str, columns: Sequence[str], data: bytes) -> None:
        await connection.copy_to_table(
            table,
            source=_once(data),
            columns=columns,
            format="binary",
            timeout=self._database.write_timeout_secs,
        )

    async def _bury(self, line: Group) -> None:
        """Keep what the database refused, as a body that can be posted again."""
        table = self._layouts.table
        letters = []
        position = 0
        for batch in line.batches:
            for i, row in enumerate(batch.rows(table)):
                words = line.words.get(position + i)
                if words is not None:
                    values = {m.name: v for m, v in zip(table[batch.layouts[i]].posted, row, strict=True)}
                    body = {"device": batch.devices[i], "ts": batch.times[i], "values": values}
                    letters.append(
                        DeadLetter(
                            "database",
                            Reason.REJECTED_BY_DATABASE,
                            words,
                            batch.devices[i],
                            msgspec.json.encode(body),
                        )
                    )
            position += len(batch)
        await self._dead_letters.put(letters)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Direct]:
        """Lend a connection; one that is in doubt afterwards is dropped."""
        async with translated():
            connection = self._idle.pop() if self._idle else await self._connect()
            try:
                yield connection
            except BaseException:
                connection.terminate()
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
        await connection.execute(query("create_stage"))
        return connection


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data


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
    result = []
    for part, picked in wanted.values():
        where: Any = np.array(picked, np.intp)
        result.append(Sorted(part.block.take(where), part.messages[where]))
    return result


def _stored(line: Group, parts: Sequence[Sorted]) -> list[Block]:
    """Return what may be shown as state: duplicates too, conflicting and rejected messages not."""
    result = []
    for part in parts:
        shown = line.verdicts[part.messages] <= DUPLICATE
        result.append(part.block if shown.all() else part.block.take(np.flatnonzero(shown)))
    return result
