"""Names to ids on real databases: what is new is learned once, caches may start anew at any time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager

import asyncpg
import pytest

from gateway.domain.layouts import Layouts
from gateway.domain.model import Kind, Layout, Metric
from gateway.timescale.connections.pool import Pool, open_pool
from gateway.timescale.write import name_ids
from gateway.timescale.write.name_ids import Dictionary
from tests.integration.writing import SOON, fetch
from tests.servers.databases import Database


@pytest.fixture
async def pool(plain_db: Database) -> AsyncIterator[Pool]:
    async with open_pool(plain_db.url, name="test", size=4, connect_timeout=SOON, command_timeout=SOON) as pool:
        yield pool


@contextmanager
def counting(asked: list[str]) -> Iterator[None]:
    """Note the statements that connections are given."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("execute", "fetch", "fetchval"):
            patch.setattr(asyncpg.Connection, name, _noting(getattr(asyncpg.Connection, name), asked))
        yield


def _noting(ask: Callable[..., Awaitable[object]], asked: list[str]) -> Callable[..., Awaitable[object]]:
    async def noting(connection: object, text: str, *args: object, **more: object) -> object:
        asked.append(text)
        return await ask(connection, text, *args, **more)

    return noting


def _layout(layouts: Layouts, *names: str, kind: Kind = Kind.DOUBLE) -> Layout:
    number = layouts.define(tuple(Metric(name, kind) for name in names))
    assert number is not None
    return layouts.table[number]


async def test_ids_come_in_the_order_asked_and_stay(pool: Pool) -> None:
    one, other = Dictionary(pool), Dictionary(pool)
    first = await one.device_ids(["b", "a", "b", "c"])
    assert first[0] == first[2]
    assert len(set(first)) == 3
    assert await other.device_ids(["c", "b", "new", "a"]) == [
        first[3],
        first[0],
        (await one.device_ids(["new"]))[0],
        first[1],
    ]


async def test_a_full_cache_that_starts_anew_in_the_middle_loses_no_name(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(name_ids, "MAX_DEVICES", 3)
    monkeypatch.setattr(name_ids, "LEARN_ROWS", 2)
    ids = Dictionary(pool)
    known = await ids.device_ids(["a", "b", "c"])
    mixed = await ids.device_ids(["c", "new1", "a", "new2", "new3", "b"])
    assert [mixed[2], mixed[5], mixed[0]] == known
    assert len(set(mixed)) == 6
    assert len(ids.devices) <= 3
    assert await ids.device_ids(["new3", "a", "new1"]) == [mixed[4], mixed[2], mixed[1]]


async def test_layouts_of_one_shape_share_its_id_and_it_reads_back(pool: Pool) -> None:
    layouts, ids = Layouts(), Dictionary(pool)
    ab, ba = _layout(layouts, "a", "b"), _layout(layouts, "b", "a")
    ints, texts = _layout(layouts, "a", "b", kind=Kind.INT), _layout(layouts, "a", kind=Kind.TEXT)
    found = await ids.shape_ids([ab, ba, ints, texts])
    assert found[0] == found[1]
    assert len(set(found)) == 3
    fresh = await Dictionary(pool).shapes([*found, 10**6])
    assert fresh == dict(zip(found, (layout.shape for layout in (ab, ba, ints, texts)), strict=True))


async def test_shapes_are_learned_together_however_many_are_new(pool: Pool) -> None:
    layouts, ids = Layouts(), Dictionary(pool)
    first = [_layout(layouts, f"m{i}", f"m{i + 1}") for i in range(300)]
    known = await ids.shape_ids(first)
    assert len(set(known)) == 300
    more = [*first, *[_layout(layouts, f"n{i}") for i in range(1500)]]
    fresh, asked = Dictionary(pool), list[str]()
    with counting(asked):
        assert (await fresh.shape_ids(more))[:300] == known
    assert len(asked) <= 10  # the metrics, two parts of at most a thousand shapes, and what the pool asks
    found = await fresh.shapes(set(await fresh.shape_ids(more)))
    assert [found[number] for number in await fresh.shape_ids(more)] == [layout.shape for layout in more]


async def test_known_ids_cost_no_round_trip(pool: Pool) -> None:
    layouts, ids = Layouts(), Dictionary(pool)
    layout = _layout(layouts, "a")
    numbers, shape = await ids.device_ids(["d"]), (await ids.shape_ids([layout]))[0]
    await ids.note_pairs([numbers[0] << 32 | shape])
    await pool.close(timeout=SOON)
    assert await ids.device_ids(["d", "d"]) == numbers * 2
    assert (await ids.shape_ids([layout]))[0] == shape
    assert await ids.shapes([shape]) == {shape: layout.shape}
    await ids.note_pairs([numbers[0] << 32 | shape])


async def test_pairs_are_noted_once_and_by_every_gateway(plain_db: Database, pool: Pool) -> None:
    layouts = Layouts()
    gateways = [Dictionary(pool) for _ in range(4)]
    devices = await gateways[0].device_ids([f"d{i}" for i in range(20)])
    (shape,) = await gateways[0].shape_ids([_layout(layouts, "a")])
    pairs = [device << 32 | shape for device in devices]
    await asyncio.gather(*(each.note_pairs(pairs[i:]) for i, each in enumerate(gateways)))
    noted = await fetch(plain_db.url, "select device_id, shape_id from device_shapes order by device_id")
    assert noted == [(device, shape) for device in sorted(devices)]


async def test_names_are_learned_while_others_wait_for_the_same(pool: Pool) -> None:
    ids = Dictionary(pool)
    names = [f"d{i}" for i in range(50)]
    found = await asyncio.gather(*(ids.device_ids(names[i : i + 20]) for i in range(0, 30, 5)))
    by_name = dict(zip(names, await ids.device_ids(names), strict=True))
    assert found == [[by_name[name] for name in names[i : i + 20]] for i in range(0, 30, 5)]


async def test_a_learner_that_is_cancelled_holds_nobody_up(plain_db: Database, pool: Pool) -> None:
    ids = Dictionary(pool)
    async with pool.connection() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("lock table devices in exclusive mode")
        learner = asyncio.create_task(ids.device_ids(["a"]))
        waiter = asyncio.create_task(ids.device_ids(["b"]))
        await _until_waiting(plain_db.url)
        learner.cancel()
        with pytest.raises(asyncio.CancelledError):
            await learner
        await transaction.rollback()
    assert len(await asyncio.wait_for(waiter, SOON)) == 1


async def _until_waiting(url: str) -> None:
    waiting = "select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    async with asyncio.timeout(SOON):
        while not await fetch(url, waiting):  # noqa: ASYNC110 - it is the server's lock
            await asyncio.sleep(0.01)
