"""A part over MQTT: which connection a device has, and what becomes of posts for one that has no room."""

from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from simulator.core.errors import UsageError
from simulator.measure.run import ScenarioRun
from simulator.plan.load import LoadOptions
from simulator.plan.options import Access, RunOptions, VerdictOptions
from simulator.report.report import Report
from tests.unit.simulator import fake_broker, fake_gateway
from tests.unit.simulator.cases import now_ms, plan
from tests.unit.simulator.fake_broker import FakeBroker
from tests.unit.simulator.measure.test_run import idle


@pytest.fixture
async def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    monkeypatch.chdir(tmp_path)
    async with fake_gateway.running() as running:
        yield running.url


@pytest.fixture
async def broker() -> AsyncIterator[FakeBroker]:
    async with fake_broker.running() as running:
        yield running


async def sent(url: str, broker: FakeBroker, **load: Any) -> Report:
    given: dict[str, Any] = {"devices": 20, "rate": 4_000, "seconds": 0.5, "run": "x", "batch": 5, "watch": 0}
    options = RunOptions(
        load=LoadOptions(transport="mqtt", **(given | load)),
        target=Access(url=url, mqtt=f"127.0.0.1:{broker.port}"),
        verdict=VerdictOptions(no_verify=True),
    )
    return await ScenarioRun(options, options.plan(now_ms=now_ms())).execute(idle, on_sent=lambda: None)


async def test_each_device_has_one_connection_and_each_connection_some_devices(url: str, broker: FakeBroker) -> None:
    report = await sent(url, broker, mqtt_connections=7)
    clients = defaultdict(set)
    for one in broker.published:
        clients[one.topic].add(one.client)
    assert len(clients) == 20
    assert {len(some) for some in clients.values()} == {1}
    assert set.union(*clients.values()) == {f"sim-1-x-{i}" for i in range(7)}
    assert report.connections == 7
    (lane,) = report.lanes
    assert lane.acknowledged == lane.offered == 5 * len(broker.published)


async def test_a_connection_without_room_holds_nobody_else_up(url: str, broker: FakeBroker) -> None:
    broker.is_deaf_to = "sim-1-x-3"
    report = await sent(url, broker, mqtt_connections=4, window=5, give_up=1.0)
    (lane,) = report.lanes
    mute = [one for one in broker.published if one.client == broker.is_deaf_to]
    assert len(mute) == 5, "its window, and not one more"
    quarter = lane.offered // 4
    assert lane.acknowledged == lane.offered - quarter
    assert (lane.unacknowledged, lane.unsent) == (5 * 5, quarter - 5 * 5)


async def test_what_waits_aside_is_bounded_and_what_is_too_late_is_not_sent(
    url: str, broker: FakeBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simulator.send.loads.mqtt._MAX_ASIDE", 3)
    broker.is_mute = True
    report = await sent(url, broker, mqtt_connections=1, window=2, give_up=0.2, rate=1_000)
    (lane,) = report.lanes
    assert len(broker.published) == 2
    assert report.exit_code == 1
    assert report.failures == ["nothing was acknowledged"]
    assert (lane.unacknowledged, lane.unsent) == (2 * 5, lane.offered - 2 * 5)


async def test_what_waits_for_a_lost_connection_goes_out_on_the_next(url: str, broker: FakeBroker) -> None:
    broker.hang_ups = 3
    report = await sent(url, broker, mqtt_connections=2)
    (lane,) = report.lanes
    assert lane.errors == {"connection_lost": 3}
    assert lane.acknowledged == lane.offered
    assert lane.unsent == 0


def test_connections_are_spread_in_proportion_and_none_is_idle() -> None:
    over_mqtt = [
        part.connections
        for part in LoadOptions(mqtt_connections=2_000).plan("smart-city-10k", now_ms=0).parts()
        if part.lane.transport == "mqtt"
    ]
    assert over_mqtt == [500, 750, 250, 500]
    few = list(LoadOptions(mqtt_connections=1).plan("smart-city-10k", now_ms=0).parts())
    assert [part.connections for part in few] == [int(part.lane.transport == "mqtt") for part in few]
    (alone,) = plan(devices=3, transport="mqtt").parts()
    assert alone.connections == 3


def test_workers_share_the_connections() -> None:
    parts = plan(devices=1_001, transport="mqtt", mqtt_connections=101, workers=3).parts()
    assert sum(part.connections for part in parts) == 101
    assert [part.connections for part in parts] == [33, 34, 34]


def test_more_connections_than_devices_are_refused_when_asked_for() -> None:
    with pytest.raises(UsageError, match="--mqtt-connections 11 is more than the 10 devices"):
        plan(transport="mqtt", mqtt_connections=11)
    with pytest.raises(UsageError, match="--mqtt-connections must be from 1 to 20,000"):
        plan(transport="mqtt", mqtt_connections=20_001)
