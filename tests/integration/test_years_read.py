"""Reading, rebuilding and removing decades on a server with few locks: nothing asks for more than can be locked."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import asyncpg
import pytest

from gateway.core.errors import SinkUnavailable
from gateway.core.settings import RetentionSettings
from gateway.domain.buckets import to_cut
from gateway.domain.history import FUNCTIONS, SeriesName, SeriesQuery, Span
from gateway.domain.model import Kind, Value
from gateway.timescale import chunks
from gateway.timescale.newest import TimescaleNewest
from gateway.timescale.registry.device_removal import RemovedDevices
from gateway.timescale.retention import remove_old
from tests.builders.batches import NOON, Message
from tests.builders.past import DAY, Past, in_buckets, open_past, say, span
from tests.builders.years import FEW_LOCKS, TAKE_ALL, few_locks
from tests.integration.writing import execute, fetch
from tests.servers.databases import Database, databases_of
from tests.servers.postgres import DatabaseServer

EVERY: list[Message] = [("d", -n * DAY, {"v": float(n % 37), "on": n % 50 < 25, "n": n}) for n in range(FEW_LOCKS)]
WITHIN = span(-FEW_LOCKS * DAY, DAY)
LEFT = 200
"""Locks that are left: for 100 chunks."""
UTC_ZONE = ZoneInfo("UTC")


@pytest.fixture(scope="module")
def server() -> Iterator[DatabaseServer]:
    with few_locks() as server:
        yield server


@pytest.fixture(scope="module")
def place(server: DatabaseServer) -> Iterator[Database]:
    """One database with decades of one device, and a device that spoke once, long ago."""
    with databases_of(server, "timescale") as databases, asyncio.Runner() as runner:
        opened = databases.migrated()
        database = runner.run(opened.__aenter__())
        runner.run(_fill(database.url))
        yield database
        runner.run(opened.__aexit__(None, None, None))


async def _fill(url: str) -> None:
    async with open_past(url) as past:
        await past.store(*EVERY, ("silent", -(FEW_LOCKS - 1) * DAY, {"v": 1.0}), ("silent", 0, {"w": 2.0}))
        await past.store(*[("gone", -n * DAY, {"v": 1.0}) for n in range(0, FEW_LOCKS, 3)])


@pytest.fixture(autouse=True)
async def crowd(place: Database) -> AsyncIterator[None]:
    """Somebody who leaves so few locks that the whole table is too much by far."""
    connection = await asyncpg.connect(place.url)
    await connection.execute(TAKE_ALL)
    await connection.execute(f"select pg_advisory_unlock(n) from generate_series(1, {LEFT}) n")
    yield
    await connection.close()


@pytest.fixture
async def past(place: Database) -> AsyncIterator[Past]:
    async with open_past(place.url) as past:
        yield past


async def test_the_whole_table_is_more_than_can_be_locked(place: Database) -> None:
    """What the other tests are worth."""
    with pytest.raises(asyncpg.OutOfMemoryError):
        await fetch(place.url, "select time from messages limit 1")


@pytest.mark.parametrize("down", [False, True])
async def test_all_rows_come_in_order(past: Past, down: bool) -> None:
    times = [row.time_us for row in await past.rows("d", within=WITHIN, limit=1000, down=down)]
    assert times == sorted([NOON + after for _, after, _ in EVERY], reverse=down)
    both = await past.rows("d", "silent", within=WITHIN, limit=1000, down=down)
    assert len(both) == FEW_LOCKS + 2


@pytest.mark.parametrize("days", [1, 30, 5000])
async def test_buckets_of_any_length_hold_everything(past: Past, days: int) -> None:
    cut = to_cut(WITHIN, count=days, unit="d", zone=UTC_ZONE)
    answer = await past.history.buckets(["d"], None, cut=cut, wish=SeriesQuery(FUNCTIONS))
    for series in answer.series:
        mine: list[tuple[int, Value]] = [(NOON + after, values[series.name.metric]) for _, after, values in EVERY]
        groups = in_buckets(sorted(mine), cut)
        assert list(series.times) == list(groups)
        for function in FUNCTIONS:
            expected = [say(function, series.name.kind, group) for group in groups.values()]
            assert series.columns[function] == pytest.approx(expected), (series.name, function)
    assert len(answer.series) == 3


async def test_charts_show_everything(past: Past) -> None:
    answer = await past.history.chart(["d"], None, span=WITHIN, points=1000)
    found = {series.name: series for series in answer.series}
    assert len(found[SeriesName("d", "v", Kind.DOUBLE)].times) == FEW_LOCKS
    values = [value for _, _, values in reversed(EVERY) for value in (values["on"],)]
    changes = [at for at, value in enumerate(values) if at in (0, len(values) - 1) or value != values[at - 1]]
    assert len(found[SeriesName("d", "on", Kind.BOOL)].times) == len(changes)


async def test_the_newest_is_found_however_old_it_is(past: Past) -> None:
    stored = TimescaleNewest(past.gateway.pool)
    silent, daily, nobody = await stored.read(["silent", "d", "nobody"])
    assert sorted(each.time_us for each in silent) == [NOON - (FEW_LOCKS - 1) * DAY, NOON]
    assert [each.time_us for each in daily] == [NOON]
    assert nobody == []
    assert await stored.times(["silent", "nobody", "d"]) == [NOON, None, NOON]
    page = await stored.page(0, size=100)
    assert (sorted(page.devices), page.looked_at) == (["d", "gone", "silent"], 4)


async def test_windows_that_are_too_wide_are_halved(past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if all locks were ours; but somebody holds most of them."""
    monkeypatch.setattr(chunks, "SHARE", 1)
    stored = TimescaleNewest(past.gateway.pool)
    with pytest.raises(SinkUnavailable):
        await stored.read(["silent"])
    assert len((await stored.read(["silent"]))[0]) == 2
    with pytest.raises(SinkUnavailable):
        await past.rows("d", within=WITHIN)
    assert len(await past.rows("d", within=WITHIN)) == FEW_LOCKS


async def test_a_removed_device_is_swept(past: Past, place: Database) -> None:
    removed = RemovedDevices(past.gateway.pool)
    (device_id,) = await past.gateway.dictionary.device_ids(["gone"])
    await execute(place.url, f"delete from device_shapes where device_id = {device_id}")
    await execute(place.url, f"delete from devices where id = {device_id}")
    count = 0
    while some := await removed.remove_some(device_id):
        count += some
    assert count == len(range(0, FEW_LOCKS, 3))
    assert len(await past.rows("d", within=WITHIN)) == FEW_LOCKS


async def test_retention_drops_them_in_parts(past: Past, place: Database) -> None:
    """The last of the file: it leaves little."""
    keep = (datetime.now(UTC) - datetime.fromtimestamp(NOON / 1e6, UTC)).days + 3
    await remove_old(RetentionSettings(days=keep)).once(past.gateway.pool)
    rows = await past.rows("d", within=Span(0, WITHIN.end_us))
    assert 3 <= len(rows) <= 5
    ((left,),) = await fetch(place.url, "select count(*) from pg_inherits where inhparent = 'messages'::regclass")
    assert left <= 5
