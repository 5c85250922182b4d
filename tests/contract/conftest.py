"""In: nothing, or a database. Out: a sink with a way to look behind it. Never more than one store at a time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import NamedTuple

import asyncpg
import pytest

from gateway.core import settings
from gateway.domain.contracts.ingest import Sink, Written
from gateway.domain.contracts.newest import ShapeBook
from gateway.domain.layouts import Layouts
from gateway.domain.model import Value
from gateway.timescale.connections.pool import open_pool
from gateway.timescale.write.name_ids import Dictionary
from gateway.timescale.write.writer import Writer
from tests.builders.batches import NOON, Message, Reading, batch, readings, shown
from tests.builders.past import Past, open_past
from tests.fakes import MemoryDeadLetters, MemorySink
from tests.servers.databases import Databases

VIEW = """
select device, (extract(epoch from time) * 1000000)::int8, metric, kind, value, int_value, text_value from readings
"""


class Store(NamedTuple):
    """A store behind a sink."""

    sink: Sink
    overwriting: Sink
    """The same store with `devices.conflict = overwrite`."""
    shapes: ShapeBook
    layouts: Layouts
    letters: MemoryDeadLetters
    listed: Callable[[], Awaitable[list[Reading]]]
    reject: Callable[[str], Awaitable[None]]
    """Let the store refuse what this device says from now on."""

    async def write(self, *group: list[Message], atomic: bool = False) -> Written:
        return await self.sink.write([batch(self.layouts, *messages) for messages in group], atomic=atomic)

    async def overwrite(self, *group: list[Message]) -> Written:
        return await self.overwriting.write([batch(self.layouts, *messages) for messages in group])

    async def newest(self, written: Written) -> list[tuple[str, int, dict[str, Value]]]:
        ids = {int(number) for block in written.newest for number in block.shapes}
        found = shown(written.newest, await self.shapes.shapes(ids))
        return [(each.device, each.after, dict(each.values)) for each in found]


@pytest.fixture(params=["memory", "timescale", "plain"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    if request.param == "memory":
        yield _in_memory()
        return
    databases: Databases = request.getfixturevalue(f"{request.param}_databases")
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(databases.migrated())
        yield await _in_database(stack, database.url)


def _in_memory() -> Store:
    layouts, letters = Layouts(), MemoryDeadLetters()
    sink = MemorySink(dead_letters=letters)
    overwriting = MemorySink(dead_letters=letters, overwrite=True)
    overwriting.messages, overwriting.rejects = sink.messages, sink.rejects
    overwriting._shape_ids = sink._shape_ids

    async def listed() -> list[Reading]:
        return readings(
            *(
                (key.device, key.time_us - NOON, {metric.name: _typed(metric.kind, v) for metric, v in values.items()})
                for key, values in sink.messages.items()
            )
        )

    async def reject(device: str) -> None:
        sink.rejects[device] = "23514: no"

    return Store(sink, overwriting, sink, layouts, letters, listed, reject)


async def _in_database(stack: AsyncExitStack, url: str) -> Store:
    pool = await stack.enter_async_context(open_pool(url, name="test", size=4, connect_timeout=10, command_timeout=20))
    layouts, letters, dictionary = Layouts(), MemoryDeadLetters(), Dictionary(pool)
    branch = settings.DatabaseSettings(url=url)
    sinks = [Writer(branch, dictionary, letters, overwrite=overwrite) for overwrite in (False, True)]
    for sink in sinks:
        stack.push_async_callback(sink.close)

    async def listed() -> list[Reading]:
        async with pool.connection() as connection:
            rows = await connection.fetch(VIEW)
        found = [
            (device, us - NOON, metric, kind, _typed(kind, next(v for v in values if v is not None)))
            for device, us, metric, kind, *values in rows
        ]
        return sorted(found, key=repr)

    async def reject(device: str) -> None:
        (number,) = await dictionary.device_ids([device])
        await _execute(url, f"alter table messages add constraint no_{number} check (device_id <> {number}) not valid")

    return Store(sinks[0], sinks[1], dictionary, layouts, letters, listed, reject)


def _typed(kind: str, value: Value) -> Value:
    return bool(value) if kind == "bool" else value


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture(scope="module", params=["timescale", "plain"])
def past_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """One database for the tests of a module, which use devices of their own, on both grounds."""
    databases: Databases = request.getfixturevalue(f"{request.param}_databases")
    with asyncio.Runner() as runner:
        database = databases.migrated()
        yield runner.run(database.__aenter__()).url
        runner.run(database.__aexit__(None, None, None))


@pytest.fixture
async def past(past_url: str) -> AsyncIterator[Past]:
    async with open_past(past_url) as opened:
        yield opened
