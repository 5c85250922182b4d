import asyncio
import dataclasses
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from gateway.app.dev_servers.postgres import PostgresServer
from gateway.timescale.migrations import migrate
from simulator.core.errors import Unreachable
from simulator.measure.run import ScenarioRun
from simulator.plan.load import LoadOptions
from simulator.plan.options import Access, RunOptions, VerdictOptions
from simulator.report.report import Report
from simulator.report.screen import to_screen
from simulator.send.progress import Look, Watcher
from tests.fakes import fake_gateway
from tests.fakes.fake_broker import FakeBroker
from tests.fakes.fake_gateway import FakeGateway, close_stored, close_unstored, messages_of, overloaded
from tests.fakes.waiting import until
from tests.servers import postgres
from tests.servers.databases import Database
from tests.servers.postgres import PLAIN_TUNING
from tests.unit.simulator.cases import ManualClock, now_ms


@pytest.fixture
async def gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeGateway]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SIMULATOR_KEY", "k")
    async with fake_gateway.running() as running:
        yield running


def options(gateway: FakeGateway, broker: FakeBroker | None = None, **load: Any) -> RunOptions:
    defaults: dict[str, Any] = {"devices": 10, "rate": 5_000, "seconds": 0.5, "transport": "http", "mixed_kinds": True}
    return RunOptions(
        load=LoadOptions(**(defaults | load)),
        target=Access(url=gateway.url, mqtt=f"127.0.0.1:{broker.port}" if broker else "127.0.0.1:1"),
        verdict=VerdictOptions(settle=1.0),
    )


async def idle(_: Look) -> None:
    return


async def execute(given: RunOptions) -> Report:
    run = ScenarioRun(given, given.plan(now_ms=now_ms()))
    return await run.execute(idle, on_sent=lambda: None)


async def test_a_run_over_http(gateway: FakeGateway) -> None:
    report = await execute(options(gateway))
    (lane,) = report.lanes
    assert report.failures == []
    assert lane.acknowledged == lane.sent == lane.offered == len(gateway.readings) > 2_000
    assert lane.latency.count == len(gateway.bodies)
    assert report.verdict is not None
    assert report.verdict.total.state_checked == 10 * 7
    assert set(gateway.keys) == {"Bearer k"}


@pytest.mark.parametrize("trick", [close_unstored, close_stored, overloaded])
async def test_a_post_without_an_answer_is_sent_again_with_the_same_bytes(gateway: FakeGateway, trick: Any) -> None:
    gateway.tricks.extend([trick] * 3)
    report = await execute(options(gateway, connections=1, seconds=0.2))
    (lane,) = report.lanes
    assert report.failures == []
    assert lane.acknowledged == lane.offered == len(gateway.readings)
    assert gateway.bodies[:4] == gateway.bodies[:1] * 4
    assert sum(lane.errors.values()) == 3


async def test_what_gets_no_answer_in_the_end_is_unacknowledged_not_lost(gateway: FakeGateway) -> None:
    gateway.tricks.extend([close_unstored] * 100_000)
    report = await execute(options(gateway, connections=2, seconds=0.2, give_up=0.3))
    (lane,) = report.lanes
    assert lane.acknowledged == 0
    assert lane.unacknowledged == lane.sent > 0
    assert lane.unsent == lane.offered - lane.sent
    assert report.failures == ["nothing was acknowledged"]


async def test_refusals_without_a_fault_are_wrong_but_nothing_is_missed(gateway: FakeGateway) -> None:
    def refuse_one(own: FakeGateway, items: list[dict[str, Any]]) -> tuple[int, dict[str, Any]]:
        own.store([{**items[0], "values": {k: v for k, v in items[0]["values"].items() if k != "humidity"}}])
        _, receipt = own.store(items[1:])
        error = {"index": 0, "path": "/0/values/humidity", "metric": "humidity", "code": "not_finite"}
        count = sum(len(values) for item in items for _, _, values in messages_of(item))
        return 207, {**receipt, "accepted": count - 1, "refused": 1, "errors": [error]}

    def refuse_all(_: FakeGateway, __: list[dict[str, Any]]) -> tuple[int, dict[str, Any]]:
        return 413, {"code": "too_large"}

    gateway.tricks.extend([refuse_one, refuse_all])
    report = await execute(options(gateway, connections=1, seconds=0.2))
    (lane,) = report.lanes
    assert lane.refused_by_code == {"not_finite": 1, "too_large": 49}
    assert lane.acknowledged == lane.sent - 50 == len(gateway.readings)
    assert report.failures == ["2 wrong answers"]
    assert [(x.fault, x.expected, x.got) for x in report.score.examples] == [
        ("none", "200", "207 not_finite"),
        ("none", "200", "413 too_large"),
    ]


async def test_an_answer_that_cannot_be_right_fails_the_run(gateway: FakeGateway) -> None:
    def boast(own: FakeGateway, items: list[dict[str, Any]]) -> tuple[int, dict[str, Any]]:
        return 200, {**own.store(items)[1], "accepted": 1_000}

    gateway.tricks.append(boast)
    report = await execute(options(gateway, seconds=0.2))
    assert report.failures == ["1 wrong answers"]
    assert report.lanes[0].faults == {"receipt_count": 1}


@pytest.mark.parametrize("shape", ["flat", "values", "readings", "columns"])
async def test_every_shape_over_both_transports(gateway: FakeGateway, broker: FakeBroker, shape: str) -> None:
    given = options(gateway, broker, transport="mixed", shape=shape, run="x", seconds=0.3)
    given = dataclasses.replace(given, verdict=VerdictOptions(verify="none"))
    report = await execute(given)
    http, mqtt = report.lanes
    assert report.failures == []
    assert http.acknowledged == len(gateway.readings) == http.offered
    taken: dict[tuple[str, int, str], Any] = {}
    for published in broker.published:
        device = published.topic.split("/")[1]
        body = json.loads(published.payload)
        for item in body if isinstance(body, list) else [body]:
            taken |= {(name, ts, m): v for name, ts, values in messages_of(item, device) for m, v in values.items()}
    assert mqtt.acknowledged == len(taken) == mqtt.offered
    assert not {device for device, _, _ in taken} & {device for device, _, _ in gateway.readings}


async def test_publishes_survive_a_broker_that_hangs_up(gateway: FakeGateway, broker: FakeBroker) -> None:
    broker.hang_ups = 3
    given = options(gateway, broker, transport="mqtt", seconds=0.3)
    report = await execute(dataclasses.replace(given, verdict=VerdictOptions(verify="none")))
    (lane,) = report.lanes
    assert lane.acknowledged == lane.offered
    assert lane.errors["connection_lost"] >= 1


async def test_the_whole_way_with_a_loss_planted(gateway: FakeGateway, plain_db: Database) -> None:
    given = options(gateway, seconds=0.2, connections=1)
    given = dataclasses.replace(given, verdict=VerdictOptions(settle=0.5, database=plain_db.url))

    def forget(own: FakeGateway, items: list[dict[str, Any]]) -> tuple[int, dict[str, Any]]:
        before = len(own.messages)
        answer = own.store(items)
        del own.messages[before]
        return answer

    gateway.database = plain_db.url
    gateway.tricks.append(forget)
    run = ScenarioRun(given, given.plan(now_ms=now_ms()))
    report = await run.execute(idle, on_sent=lambda: None)
    assert report.verdict is not None
    assert report.verdict.total.lost == 7
    assert report.exit_code == 1
    written = json.loads(report.to_json())
    assert written["verdict"]["total"]["lost"] == 7
    assert written["failures"] == ["7 lost"]


async def test_a_gateway_gone_when_the_states_are_asked_for_is_exit_2_but_the_report_is_kept(
    gateway: FakeGateway, plain_db: Database
) -> None:
    given = options(gateway, seconds=0.1)
    given = dataclasses.replace(given, verdict=VerdictOptions(database=plain_db.url))
    gateway.database = plain_db.url
    query, asked = gateway._query, 0

    def vanish(body: bytes) -> tuple[int, dict[str, Any]]:
        nonlocal asked
        asked += 1
        if asked > 1:
            raise ConnectionResetError
        return query(body)

    gateway._query = vanish  # type: ignore[method-assign]
    report = await execute(given)
    assert report.exit_code == 2
    assert report.verdict is not None
    assert report.verdict.total.stored == report.lanes[0].acknowledged > 0
    assert "did not answer for the state" in report.verdict.unfinished


@pytest.fixture
async def own_server() -> AsyncIterator[PostgresServer]:
    with postgres.plain(PLAIN_TUNING) as server:
        yield server


async def test_a_database_restarted_during_the_run_is_connected_to_anew(
    gateway: FakeGateway, own_server: PostgresServer
) -> None:
    await migrate(own_server.url(), chunk_hours=24)
    given = options(gateway, seconds=0.1)
    given = dataclasses.replace(given, verdict=VerdictOptions(database=own_server.url()))
    gateway.database = own_server.url()
    run = ScenarioRun(given, given.plan(now_ms=now_ms()))
    report = await run.execute(idle, on_sent=own_server.restart)
    assert report.failures == []
    assert report.exit_code == 0
    assert report.lanes[0].acknowledged > 0


async def test_a_database_gone_for_good_is_exit_2_but_the_report_is_kept(
    gateway: FakeGateway, own_server: PostgresServer
) -> None:
    await migrate(own_server.url(), chunk_hours=24)
    given = options(gateway, seconds=0.1)
    given = dataclasses.replace(given, verdict=VerdictOptions(database=own_server.url(), settle=0.1))
    run = ScenarioRun(given, given.plan(now_ms=now_ms()))
    report = await run.execute(idle, on_sent=own_server.stop)
    assert report.exit_code == 2
    assert report.verdict is not None
    assert "The database does not answer" in report.verdict.unfinished
    assert report.lanes[0].acknowledged == len(gateway.readings)


async def test_stopped_early_it_is_judged_as_far_as_it_came(gateway: FakeGateway) -> None:
    given = options(gateway, seconds=600)
    run = ScenarioRun(given, given.plan(now_ms=now_ms()))

    async def stop_soon(_: Look) -> None:
        await until(lambda: len(gateway.bodies) >= 5)
        run.stop()

    async with asyncio.timeout(20):
        report = await run.execute(stop_soon, on_sent=lambda: None)
    (lane,) = report.lanes
    assert report.failures == []
    assert 0 < lane.acknowledged == lane.offered == len(gateway.readings)


async def test_no_gateway_is_said_before_anything_is_sent(gateway: FakeGateway) -> None:
    given = dataclasses.replace(options(gateway), target=Access(url="http://127.0.0.1:1"))
    with pytest.raises(Unreachable, match=r"http://127\.0\.0\.1:1 does not answer"):
        await execute(given)


async def test_a_key_that_is_not_taken_is_said_before_anything_is_sent(gateway: FakeGateway) -> None:
    gateway._query = lambda _: (401, {"code": "unauthorized"})  # type: ignore[method-assign, assignment]
    with pytest.raises(Unreachable, match="--key-file"):
        await execute(options(gateway))
    assert not gateway.bodies


async def test_no_broker_is_said_in_one_sentence(gateway: FakeGateway) -> None:
    with pytest.raises(Unreachable, match=r"MQTT broker at 127\.0\.0\.1:1 does not answer"):
        await execute(options(gateway, transport="mixed"))
    assert not gateway.bodies


async def test_a_screen_holds_the_report(
    gateway: FakeGateway, broker: FakeBroker, plain_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simulator.verify.referee._STATE_PATIENCE_S", 0.0)
    given = options(gateway, broker, transport="mixed", seconds=0.2)
    given = dataclasses.replace(given, verdict=VerdictOptions(settle=0.1, database=plain_db.url))
    report = await execute(given)
    assert report.verdict is not None
    report.verdict.findings = dict.fromkeys(report.verdict.findings, type(report.verdict.total)(stored=12_345_678))
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(to_screen(report))
    lines = console.export_text().splitlines()
    assert len(lines) <= 24
    assert max(len(line) for line in lines) <= 80
    assert any(line.split() == ["stored", "12,345,678", "12,345,678", "24,691,356"] for line in lines)
    assert lines[-1] == "every acknowledged reading is stored once and unaltered; states are right"


async def test_a_line_every_five_seconds_where_there_is_no_terminal(
    gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("simulator.send.progress._PLAIN_S", 0.1)
    given = options(gateway, seconds=0.5)
    run = ScenarioRun(given, given.plan(now_ms=now_ms()))
    console = Console(width=80, force_terminal=False)
    await run.execute(Watcher(console, clock=ManualClock()).watch, on_sent=lambda: None)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) >= 2
    assert all("acked" in line and "p99" in line for line in lines)
