"""One suite for every place dead letters are kept in: the database and the in-memory one."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import NamedTuple

import pytest

from gateway.core.errors import SinkUnavailable
from gateway.domain.contracts.ingest import DeadLetters
from gateway.domain.dead_letters import DeadLetter
from gateway.timescale.connections.pool import open_pool
from gateway.timescale.dead_letters.store import MAX_DETAIL, TimescaleDeadLetters
from tests.fakes import MemoryDeadLetters
from tests.servers.databases import Database, Databases

ROWS = "select source, code, detail, device, payload, topic from dead_letters order by id"


class Place(NamedTuple):
    letters: DeadLetters
    kept: Callable[[], Awaitable[list[DeadLetter]]]


@pytest.fixture(params=["memory", "timescale"])
async def place(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    if request.param == "memory":
        memory = MemoryDeadLetters()

        async def listed() -> list[DeadLetter]:
            return memory.letters

        yield Place(memory, listed)
        return
    databases: Databases = request.getfixturevalue("timescale_databases")
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(databases.migrated())
        pool = await stack.enter_async_context(
            open_pool(database.url, name="test", size=2, connect_timeout=10, command_timeout=10)
        )

        async def stored() -> list[DeadLetter]:
            async with pool.connection() as connection:
                return [DeadLetter(*row) for row in await connection.fetch(ROWS)]

        yield Place(TimescaleDeadLetters(pool), stored)


async def test_letters_are_kept_with_every_byte(place: Place) -> None:
    every_byte = bytes(range(256)) * 8
    letters = [
        DeadLetter("mqtt", "bad_payload", "no JSON: 'ü'", "d1", every_byte, "devices/d1/readings"),
        DeadLetter("database", "rejected_by_database", "23514: no", "d2", b"{}"),
        DeadLetter("mqtt", "bad_device_name", "", None, b"", "devices//readings"),
    ]
    await place.letters.put(letters[:2])
    await place.letters.put(letters[2:])
    assert sorted(await place.kept()) == sorted(letters)


async def test_a_large_payload_is_kept_whole(place: Place) -> None:
    letter = DeadLetter("mqtt", "too_large", "x", "d", b"\0\xff" * 2**20)
    await place.letters.put([letter])
    assert await place.kept() == [letter]


async def test_nothing_is_kept_for_nothing(place: Place) -> None:
    await place.letters.put([])
    assert await place.kept() == []


async def test_what_a_device_sent_cannot_make_a_letter_fail(timescale_db: Database) -> None:
    async with open_pool(timescale_db.url, name="test", size=2, connect_timeout=10, command_timeout=10) as pool:
        detail = "a\0b\ud800" + "y" * MAX_DETAIL
        await TimescaleDeadLetters(pool).put([DeadLetter("mqtt", "bad_payload", detail, "\0", b"x", "t\udfff")])
        async with pool.connection() as connection:
            (row,) = await connection.fetch(ROWS)
    kept = DeadLetter(*row)
    assert kept.detail == ("a\\0b?" + "y" * MAX_DETAIL)[:MAX_DETAIL]
    assert (kept.device, kept.topic) == ("\\0", "t?")


async def test_a_database_that_is_away_is_said_so() -> None:
    url = "postgresql://127.0.0.1:1/none"
    letter = DeadLetter("mqtt", "bad_payload", "", None, b"")
    async with open_pool(url, name="test", size=1, connect_timeout=1, command_timeout=1) as pool:
        with pytest.raises(SinkUnavailable):
            await TimescaleDeadLetters(pool).put([letter])
    memory = MemoryDeadLetters()
    memory.away = True
    with pytest.raises(SinkUnavailable):
        await memory.put([letter])
