"""Readings that were stored for a device after it had been removed and emptied: moved or told, never just deleted."""

import asyncio
import json

import pytest

from gateway.domain.model import Value
from gateway.services.registry import Registrar, build_registrar
from gateway.timescale import chunks
from gateway.timescale.connections.pool import open_pool
from gateway.timescale.registry import device_removal, late_messages
from tests.builders.batches import Message
from tests.fakes.clock import ManualClock
from tests.fakes.state import MemoryState
from tests.integration.writing import SOON, execute, fetch, open_gateway
from tests.servers.databases import Database

DAY = 86_400_000_000
LETTERS = "select code, detail, device, convert_from(payload, 'utf8'), count from dead_letters order by id"
READINGS = "select device, metric, value from readings order by 1, 2, 3"
PASSES = ((2, "3 seconds"), (3, "11 minutes"))


async def later(url: str, age: str) -> None:
    await execute(url, f"update removed_devices set removed_at = removed_at - interval '{age}'")


@pytest.mark.parametrize(("passes", "age"), PASSES)
async def test_of_a_device_that_is_gone_they_are_dead_letters(
    database: Database, book: Registrar, passes: int, age: str
) -> None:
    await execute(database.url, "insert into declared_ints values ('n')")
    async with open_gateway(database.url) as gateway:
        gateway.layouts.declare_ints(["n"])
        values: dict[str, Value] = {"t": 1.5, "on": True, "n": 2**60, "s": "text"}
        await gateway.write([("d1", 1, values)])
        assert await book.removal.remove("d1", with_readings=True)
        await gateway.write([("d1", 2, values)], [("d1", 40 * DAY, values)])
    await later(database.url, age)
    await book.removal.sweep()
    assert await fetch(database.url, "select count(*) from messages") == [(0,)]
    assert await fetch(database.url, "select passes from removed_devices") == [(passes,)]
    letters = await fetch(database.url, LETTERS)
    assert [letter[:3] for letter in letters] == [("rejected_by_database", late_messages.REMOVED, "d1")] * 2
    bodies = [json.loads(letter[3]) for letter in letters]
    assert [body["values"] for body in bodies] == [values, values]
    assert {body["ts"] for body in bodies} == {"2023-11-14T22:13:20.000002Z", "2023-12-24T22:13:20Z"}


@pytest.fixture
def few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(late_messages, "AT_ONCE", 2)
    monkeypatch.setattr(device_removal, "LATE_AT_ONCE", 2)


@pytest.mark.usefixtures("few_at_once")
@pytest.mark.parametrize(("passes", "age"), PASSES)
async def test_of_one_that_was_made_again_they_are_the_new_ones(
    database: Database, book: Registrar, state: MemoryState, passes: int, age: str
) -> None:
    """A value that is stored already is the same message sent again; another one is told."""
    async with open_gateway(database.url) as deaf, open_gateway(database.url) as hearing:
        await deaf.write([("d1", 1, {"t": 0.0})])
        assert await book.removal.remove("d1", with_readings=True)
        late: list[Message] = [("d1", n, {"t": float(n)}) for n in (1, 2, 3, 4, 5, 50 * DAY)]
        await deaf.write(late)
        written = await hearing.write([("d1", 1, {"t": 1.0}), ("d1", 2, {"t": -2.0}), ("d1", 6, {"t": 6.0})])
    await state.apply(written.newest)
    await later(database.url, age)
    await book.removal.sweep()
    stored = sorted([1.0, -2.0, 3.0, 4.0, 5.0, 6.0, float(50 * DAY)])
    assert await fetch(database.url, READINGS) == [("d1", "t", value) for value in stored]
    [(code, words, device, payload, count)] = await fetch(database.url, LETTERS)
    assert (code, words, device, count) == ("conflict", late_messages.TAKEN, "d1", 1)
    assert json.loads(payload)["values"] == {"t": 2.0}
    assert await state.read(["d1"]) == [None], "read anew: what was moved may be newer"
    assert await fetch(database.url, "select count(*) from device_shapes") == [(1,)]
    assert await fetch(database.url, "select passes from removed_devices") == [(passes,)]


async def test_what_the_database_does_not_take_under_the_new_id_is_told(database: Database, book: Registrar) -> None:
    async with open_gateway(database.url) as deaf:
        await deaf.write([("d1", 1, {"t": 0.0})])
        assert await book.removal.remove("d1", with_readings=True)
        await deaf.write([("d1", 2, {"t": 2.0})])
        await book.devices.add("d1")
        await execute(database.url, "alter table messages add constraint none check (values[1] < 1) not valid")
    await later(database.url, "3 seconds")
    await book.removal.sweep()
    assert await fetch(database.url, READINGS) == []
    assert [letter[:3] for letter in await fetch(database.url, LETTERS)] == [
        ("rejected_by_database", late_messages.REMOVED, "d1")
    ]


async def test_without_redis_they_are_late_all_the_same(
    database: Database, book: Registrar, state: MemoryState
) -> None:
    """The device had been emptied, though not the state: what comes after that is nothing of the removed one's."""
    async with open_gateway(database.url) as deaf:
        await deaf.write([("d1", 1, {"t": 0.0})])
        state.away = True
        assert not await book.removal.remove("d1", with_readings=True)
        await deaf.write([("d1", 2, {"t": 2.0})])
    state.away = False
    await later(database.url, "11 minutes")
    await book.removal.sweep()
    assert [letter[2] for letter in await fetch(database.url, LETTERS)] == ["d1"]
    assert await fetch(database.url, "select passes from removed_devices") == [(3,)]


async def test_two_gateways_that_sweep_at_once_tell_each_once(database: Database, book: Registrar) -> None:
    async with open_gateway(database.url) as deaf:
        await deaf.write([("d1", 0, {"t": 0.0})])
        assert await book.removal.remove("d1", with_readings=True)
        late: list[Message] = [("d1", n, {"t": float(n)}) for n in range(1, 31)]
        await deaf.write(late)
    await later(database.url, "3 seconds")
    async with asyncio.timeout(SOON):
        await asyncio.gather(book.removal.sweep(), book.removal.sweep())
    assert [letter[4] for letter in await fetch(database.url, LETTERS)] == [1] * 30
    assert await fetch(database.url, "select count(*) from messages") == [(0,)]


async def test_they_are_found_in_many_chunks(timescale_db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than one transaction may touch: they are taken from the chunks themselves."""
    monkeypatch.setattr(chunks, "SHARE", 1_000)
    async with (
        open_gateway(timescale_db.url) as deaf,
        open_pool(timescale_db.url, name="test", size=2, connect_timeout=SOON, command_timeout=SOON) as pool,
    ):
        book = build_registrar(pool, MemoryState(), clock=ManualClock())
        await deaf.write([("d1", 0, {"t": 0.0})])
        assert await book.removal.remove("d1", with_readings=True)
        days: list[Message] = [("d1", n * DAY, {"t": float(n)}) for n in range(50)]
        await deaf.write(days, [("d1", 1, {"t": 50.0})])
        await book.devices.add("d1")
        await later(timescale_db.url, "3 seconds")
        await book.removal.sweep()
    assert await fetch(timescale_db.url, READINGS) == [("d1", "t", float(n)) for n in range(51)]
    assert await fetch(timescale_db.url, LETTERS) == []
