"""In: a database. Out: gateways that write to it, and looks behind them. Never a fake."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NamedTuple

import asyncpg

from gateway.core import settings
from gateway.domain.contracts.ingest import Written
from gateway.domain.layouts import Layouts
from gateway.timescale.connections.hosts import Direct
from gateway.timescale.connections.pool import Pool, open_pool
from gateway.timescale.write.name_ids import Dictionary
from gateway.timescale.write.staging import Stage
from gateway.timescale.write.writer import Writer
from tests.builders.batches import Message, batch
from tests.fakes import MemoryDeadLetters

SOON = 20.0
"""Seconds that anything on a local server takes at most."""


class CountingStage(Stage):
    """Counts the COPYs it sends."""

    copies = 0

    async def _copy(self, connection: Direct, table: str, columns: Sequence[str], data: bytes) -> None:
        self.copies += 1
        await super()._copy(connection, table, columns, data)


class CountingWriter(Writer):
    """Tells how many COPYs it sent."""

    def count(self) -> None:
        self._stage = self._bisector._stage = self._counting = CountingStage(overwrite=self._overwrite)

    @property
    def copies(self) -> int:
        return self._counting.copies


class Gateway(NamedTuple):
    """What one gateway process has: its own caches and connections."""

    writer: CountingWriter
    layouts: Layouts
    dictionary: Dictionary
    letters: MemoryDeadLetters
    pool: Pool

    async def write(self, *group: list[Message], atomic: bool = False) -> Written:
        return await self.writer.write([batch(self.layouts, *messages) for messages in group], atomic=atomic)


@asynccontextmanager
async def open_gateway(url: str, *, overwrite: bool = False, make_devices: bool = True) -> AsyncIterator[Gateway]:
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(
            open_pool(url, name="test", size=4, connect_timeout=SOON, command_timeout=SOON)
        )
        layouts, dictionary, letters = Layouts(), Dictionary(pool, make_devices=make_devices), MemoryDeadLetters()
        writer = CountingWriter(settings.DatabaseSettings(url=url), dictionary, letters, overwrite=overwrite)
        writer.count()
        stack.push_async_callback(writer.close)
        yield Gateway(writer, layouts, dictionary, letters, pool)


async def execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def fetch(url: str, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(statement, *values)]
    finally:
        await connection.close()
