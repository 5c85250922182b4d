"""Runs with a scenario: what they register, the faults they inject, several processes, ledgers that stay."""

import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from simulator.core.errors import Unreachable, UsageError
from simulator.measure.run import ScenarioRun
from simulator.plan.load import LoadOptions
from simulator.plan.options import Access, RunOptions, VerdictOptions
from simulator.plan.scenario import Assumed, FaultRates, FleetSpec, Phase, Scenario
from simulator.report.report import Report
from simulator.send.ledger_folder import LedgerFolder
from simulator.send.progress import Look
from tests.fakes import fake_gateway
from tests.fakes.fake_api import FakeHistory, FakeRegistry
from tests.fakes.fake_broker import FakeBroker
from tests.fakes.fake_gateway import FakeGateway
from tests.integration.simulated.test_command import simulate
from tests.unit.simulator.cases import now_ms

FLEETS = (
    FleetSpec(model="weather_station", devices=6, rate=600, batch=30),
    FleetSpec(model="energy_meter", devices=4, rate=400, batch=20, shapes=("columns", "readings"), name="meters"),
    FleetSpec(model="door", devices=4, rate=40, batch=2, shapes=("flat",)),
)


@pytest.fixture
async def gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeGateway]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SIMULATOR_KEY", "admin")
    async with fake_gateway.running() as running:
        running.calls.append(FakeHistory(running, page=100))
        yield running


@pytest.fixture
def registry(gateway: FakeGateway) -> FakeRegistry:
    registry = FakeRegistry()
    gateway.calls.append(registry)
    return registry


async def idle(_: Look) -> None:
    return


async def execute(gateway: FakeGateway, scenario: Scenario, *, workers: int = 1, **verdict: Any) -> Report:
    options = RunOptions(
        load=LoadOptions(workers=workers), target=Access(url=gateway.url), verdict=VerdictOptions(settle=1.0, **verdict)
    )
    plan = replace(options.plan(now_ms=now_ms()), scenario=scenario)
    return await ScenarioRun(options, plan).execute(idle, on_sent=lambda: None)


def scenario(**changes: Any) -> Scenario:
    return replace(Scenario(title="t", fleets=FLEETS, seconds=1.0, connections=4), **changes)


async def test_fleets_of_several_models_are_registered_sent_verified_and_removed(
    gateway: FakeGateway, registry: FakeRegistry
) -> None:
    report = await execute(gateway, scenario(), verify="api")
    assert (report.failures, report.exit_code) == ([], 0)
    assert report.verdict is not None
    assert report.verdict.total.stored == report.lanes[0].acknowledged == len(gateway.readings) > 900
    assert {part.title for part in report.parts} == {"weather-station", "meters", "door"}
    assert (registry.devices, registry.keys) == ({}, {})
    assert len(registry.deleted) == 14
    posts_with = set(gateway.keys[2 + 1 : 10])
    assert "Bearer token-1" in posts_with


@pytest.mark.parametrize("kept", [{"keep": True}, {"ledger": Path("ledger")}])
async def test_kept_devices_stay_but_their_key_goes(
    gateway: FakeGateway, registry: FakeRegistry, kept: dict[str, Any]
) -> None:
    await execute(gateway, scenario(seconds=0.2), **kept)
    assert (len(registry.devices), registry.keys) == (14, {})


async def test_what_a_run_left_can_be_removed_by_its_ledger(
    gateway: FakeGateway, registry: FakeRegistry, tmp_path: Path
) -> None:
    await execute(gateway, scenario(seconds=0.2), ledger=tmp_path / "ledger")
    registry.devices["somebody-else"] = {}
    code, out, err = await simulate(tmp_path, "remove", "ledger", "--url", gateway.url)
    assert (code, out, err) == (0, "", "")
    assert set(registry.devices) == {"somebody-else"}


async def test_when_all_is_not_well_the_devices_stay_to_look_at(gateway: FakeGateway, registry: FakeRegistry) -> None:
    gateway.tricks.append(lambda *_: (413, {"code": "too_large"}))
    report = await execute(gateway, scenario(seconds=0.3))
    assert report.failures == ["1 wrong answers"]
    assert len(registry.devices) == 14
    assert any("stay registered" in note for note in report.notes)


async def test_when_nothing_could_be_sent_nothing_stays(gateway: FakeGateway, registry: FakeRegistry) -> None:
    over_mqtt = scenario(fleets=(FleetSpec(model="door", devices=2, rate=10, mqtt=1.0),))
    options = RunOptions(target=Access(url=gateway.url, mqtt="127.0.0.1:1"))
    plan = replace(options.plan(now_ms=now_ms()), scenario=over_mqtt)
    with pytest.raises(Unreachable, match="MQTT broker"):
        await ScenarioRun(options, plan).execute(idle, on_sent=lambda: None)
    assert (registry.devices, len(registry.deleted)) == ({}, 2)


async def test_a_gateway_that_takes_what_it_must_refuse_is_found_out(gateway: FakeGateway) -> None:
    faults = FaultRates(nan=0.5)  # the fake takes NaN for a number
    report = await execute(gateway, scenario(fleets=FLEETS[:1], faults=faults, register=False))
    injected = report.lanes[0].injected["nan"]
    assert injected > 3
    assert report.wrong_answers == injected == report.lanes[0].wrong_answers["nan"]
    assert report.exit_code == 1
    example = report.score.examples[0]
    assert (example.fault, example.expected, example.got) == ("nan", "207 not_finite", "200")
    assert report.verdict is not None
    assert report.verdict.total.lost == 0, "a wrong answer promises nothing"


async def test_hung_up_connections_and_orders_changed_lose_nothing(gateway: FakeGateway) -> None:
    faults = FaultRates(churn=0.1, storm=0.05, late=0.1, out_of_order=0.1, duplicate=0.1, disconnect=0.05)
    report = await execute(gateway, scenario(faults=faults, register=False, seconds=2.0))
    # the fake stores what comes twice but once, and does not say so
    wrong = {fault for fault, count in report.score.wrong.items() if count}
    assert wrong <= {"duplicate"}
    assert {"late", "out_of_order", "churn", "disconnect"} <= set(report.score.injected)
    assert report.verdict is not None
    total = report.verdict.total
    assert (total.lost, total.wrong, total.unexpected, total.state_wrong) == (0, 0, 0, 0)
    assert report.score.refusals["no_answer"] > 0


async def test_latency_is_told_by_phase(gateway: FakeGateway) -> None:
    phases = (Phase(name="up", seconds=0.5, begin=0.1), Phase(name="flat", seconds=0.5))
    report = await execute(gateway, scenario(phases=phases, register=False))
    by_phase = report.lanes[0].latency_by_phase
    assert list(by_phase) == ["up", "flat"]
    assert 0 < by_phase["up"].count < by_phase["flat"].count
    assert by_phase["up"].count + by_phase["flat"].count == report.lanes[0].latency.count


async def test_two_processes_send_what_one_would(gateway: FakeGateway, tmp_path: Path) -> None:
    report = await execute(gateway, scenario(register=False), workers=2, ledger=tmp_path / "ledger", verify="api")
    assert report.failures == []
    assert {part.title for part in report.parts} == {"weather-station", "meters", "door"}
    assert len(report.parts) == 6
    assert report.verdict is not None
    assert report.verdict.total.stored == report.lanes[0].acknowledged == len(gateway.readings)
    assert report.lanes[0].latency.count == len(gateway.bodies)
    files = LedgerFolder.open(tmp_path / "ledger")
    assert sum(files.read(part).acknowledged for part in files.plan.parts()) == report.lanes[0].acknowledged


async def test_a_worker_that_cannot_send_is_said_in_one_sentence(gateway: FakeGateway) -> None:
    options = RunOptions(load=LoadOptions(workers=2, seconds=0.2), target=Access(url=gateway.url, mqtt="127.0.0.1:1"))
    with pytest.raises(Unreachable, match=r"MQTT broker at 127\.0\.0\.1:1 does not answer"):
        await ScenarioRun(options, options.plan(now_ms=now_ms())).execute(idle, on_sent=lambda: None)


async def test_what_was_told_to_be_looked_at_and_cannot_be_is_exit_2(gateway: FakeGateway) -> None:
    gateway.calls.clear()
    short = scenario(register=False, seconds=0.2)
    assert (await execute(gateway, short, verify="api")).exit_code == 2
    report = await execute(gateway, short)
    assert report.exit_code == 0
    assert any("404 not_found" in note for note in report.notes)
    assert (await execute(gateway, short, no_verify=True)).verdict is None


async def test_publishes_of_faults_over_mqtt_are_settled_as_they_must_be(
    gateway: FakeGateway, broker: FakeBroker
) -> None:
    fleet = FleetSpec(model="vehicle", devices=20, rate=1_800, mqtt=1.0, batch=6)
    faults = FaultRates(nan=0.1, malformed_json=0.1, duplicate=0.1, churn=0.02)
    options = RunOptions(
        target=Access(url=gateway.url, mqtt=f"127.0.0.1:{broker.port}"), verdict=VerdictOptions(no_verify=True)
    )
    plan = replace(options.plan(now_ms=now_ms()), scenario=scenario(fleets=(fleet,), faults=faults, register=False))
    report = await ScenarioRun(dataclasses.replace(options), plan).execute(idle, on_sent=lambda: None)
    (lane,) = report.lanes
    assert lane.sent == lane.offered
    assert lane.acknowledged + lane.refused == lane.sent
    assert lane.expected_refusals["bad_payload"] == 6 * lane.injected["malformed_json"]
    assert lane.expected_refusals["not_finite"] == lane.injected["nan"]
    assert len({published.payload for published in broker.published}) == lane.sent // 6
    assert len(broker.published) >= lane.sent // 6 + lane.injected["duplicate"]


async def test_a_ledger_that_cannot_be_begun_leaves_nothing_registered(
    gateway: FakeGateway, registry: FakeRegistry, tmp_path: Path
) -> None:
    (tmp_path / "used").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        await execute(gateway, scenario(), ledger=tmp_path)
    assert (registry.devices, registry.keys) == ({}, {})
    assert not gateway.bodies


async def test_a_slow_socket_sends_a_byte_a_second_and_its_408_is_right(
    gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simulator.send.loads.http._DRIP_S", 0.01)
    monkeypatch.setattr("simulator.send.loads.http._PATIENCE_S", 0.5)
    faults = FaultRates(slow_socket=0.2)
    short = scenario(
        fleets=FLEETS[:1], faults=faults, gateway=Assumed(body_deadline_secs=0.5), give_up=1.0, register=False
    )
    report = await execute(gateway, short)
    (lane,) = report.lanes
    assert lane.injected["slow_socket"] > 0
    # the fake waits for ever: no answer in time is neither right nor wrong, and promises nothing
    assert lane.unacknowledged == 30 * lane.injected["slow_socket"]
    assert lane.acknowledged == lane.sent - lane.unacknowledged
    assert report.failures == []
