"""How the database finds the newest messages: by steps into one index, however many chunks and rows there are."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.core.errors import SinkUnavailable
from gateway.timescale import newest
from gateway.timescale.connections.pool import open_pool
from gateway.timescale.newest import TimescaleNewest
from gateway.timescale.queries import query
from tests.integration.writing import execute, fetch
from tests.servers.databases import Database

DAYS = 60
FILL = f"""
insert into devices (name) select 'd' || n from generate_series(1, 50) n;
insert into metrics (name, kind) values ('a', 'double');
insert into shapes (value_metrics, int_metrics, text_metrics) select array[id], '{{}}', '{{}}' from metrics;
insert into device_shapes select d.id, s.id from devices d, shapes s;
insert into messages (time, device_id, shape_id, values)
select timestamptz '2026-01-01Z' + make_interval(days => day, mins => minute), device_id, shape_id, array[1.5]
from device_shapes ds, generate_series(1, {DAYS}) day, generate_series(1, 20) minute
where ds.device_id % 5 > 0 or day = 1;
analyze
"""
NEWEST = datetime(2026, 1, 1, 0, 20, tzinfo=UTC) + timedelta(days=DAYS)


@pytest.fixture
async def filled(database: Database) -> Database:
    await execute(database.url, FILL)
    return database


def _nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for child in plan.get("Plans", ()) for node in _nodes(child))]


async def _explain(url: str, name: str, *values: object) -> list[dict[str, Any]]:
    statement = query(name).replace("{within}", "")
    ((plan,),) = await fetch(url, f"explain (analyze, format json) {statement}", *values)
    return _nodes(json.loads(plan)[0]["Plan"])


async def test_a_series_costs_one_step_into_the_index_of_its_newest_chunk(filled: Database) -> None:
    """Every fifth device is silent since the first day: for these alone the other chunks are looked at."""
    nodes = await _explain(filled.url, "newest_of_devices", [f"d{n}" for n in range(1, 51)])
    scans = [node for node in nodes if _reads_messages(node)]
    assert scans
    assert all(node["Node Type"].startswith("Index") for node in scans)
    assert all(node["Actual Rows"] <= 1 for node in scans)  # rounded by the server: rows a step
    steps = sorted(node["Actual Loops"] for node in scans)
    assert steps == ([10] * (DAYS - 1) + [50] if filled.kind == "timescale" else [50])


def _reads_messages(node: dict[str, Any]) -> bool:
    name = str(node.get("Relation Name", ""))
    return node["Node Type"] != "Custom Scan" and name.startswith(("messages", "_hyper"))


async def test_a_thousand_devices_take_one_query(filled: Database) -> None:
    async with open_pool(filled.url, name="test", size=1, connect_timeout=10, command_timeout=20) as pool:
        found = await TimescaleNewest(pool).read([f"d{n}" for n in range(1, 1001)])
    assert [len(messages) for messages in found] == [1] * 50 + [0] * 950
    assert sum(each[0].time_us == NEWEST.timestamp() * 1e6 for each in found[:50]) == 40


async def test_a_query_that_takes_too_long_is_given_up(filled: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody holds the table; the query must not wait for as long as that lasts."""
    monkeypatch.setattr(newest, "READ_SECS", 0.1)
    async with open_pool(filled.url, name="test", size=2, connect_timeout=10, command_timeout=20) as pool:
        stored = TimescaleNewest(pool)
        async with pool.connection() as connection, connection.transaction():
            await connection.execute("lock table device_shapes in access exclusive mode")
            with pytest.raises(SinkUnavailable):
                await stored.read(["d1"])
        monkeypatch.undo()
        assert len((await stored.read(["d1"]))[0]) == 1
