"""A part over MQTT: which connection a device has, and what becomes of posts for one that has no room."""

from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from simulator.measure.run import ScenarioRun
from simulator.plan.load import LoadOptions
from simulator.plan.options import Access, RunOptions, VerdictOptions
from simulator.report.report import Report
from tests.fakes import fake_gateway
from tests.fakes.fake_broker import FakeBroker
from tests.integration.simulated.test_run import idle
from tests.unit.simulator.cases import now_ms


@pytest.fixture
async def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    monkeypatch.chdir(tmp_path)
    async with fake_gateway.running() as running:
        yield running.url


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
