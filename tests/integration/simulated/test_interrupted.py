"""Ctrl-C: nothing more is sent, the verdict is on what was, says that it was not the whole run, and meets nothing."""

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from simulator.measure.run import ScenarioRun
from simulator.send import sender
from simulator.send.progress import Look
from tests.fakes import fake_broker, fake_gateway
from tests.fakes.fake_gateway import FakeGateway, overloaded
from tests.fakes.waiting import until
from tests.integration.simulated.test_command import finish, start
from tests.integration.simulated.test_run import idle, options
from tests.unit.simulator.cases import now_ms


@pytest.fixture
async def gateway(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeGateway]:
    monkeypatch.setenv("SIMULATOR_KEY", "k")
    async with fake_gateway.running() as running:
        yield running


@pytest.mark.parametrize(("require", "expected"), [("", 0), ("errors<1%", 99)])
async def test_it_says_so_and_no_requirement_is_met(
    tmp_path: Path, gateway: FakeGateway, require: str, expected: int
) -> None:
    process = await start(
        tmp_path, "run", "--url", gateway.url, "--transport", "http", "--seconds", "600", "--json", "out.json",
        "--require", require,
    )  # fmt: skip
    await until(lambda: len(gateway.bodies) >= 5)
    process.send_signal(signal.SIGINT)
    code, out, err = await finish(process)
    assert code == expected, out + err
    told = " ".join(out.split())
    assert "interrupted after" in told
    assert "s of 600 s: not the whole run" in told
    assert json.loads((tmp_path / "out.json").read_text())["interrupted"]
    if require:
        assert "required errors<1%: NOT met, 0 %, but the run was interrupted" in told
        assert "REQUIREMENT NOT MET: errors<1%" in told


async def test_a_second_one_ends_at_once_and_quietly(tmp_path: Path, gateway: FakeGateway) -> None:
    gateway.tricks.extend([never_heard_of_again] * 100_000)
    process = await start(tmp_path, "run", "--url", gateway.url, "--transport", "http", "--seconds", "600")
    await until(lambda: len(gateway.bodies) >= 5)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    async with asyncio.timeout(20):
        while b"once more" not in await process.stderr.readline():
            pass
    process.send_signal(signal.SIGINT)
    code, _, err = await finish(process)
    assert code == -signal.SIGINT
    assert err == ""


async def test_a_whole_run_is_not_called_interrupted(gateway: FakeGateway) -> None:
    given = options(gateway, seconds=0.1)
    run = ScenarioRun(given, given.plan(now_ms=now_ms()))
    report = await run.execute(idle, on_sent=run.stop)  # while it verifies
    assert (report.exit_code, report.interruption) == (0, "")


async def test_what_is_not_due_yet_is_not_sent(gateway: FakeGateway) -> None:
    given = options(gateway, devices=5, rate=0.1, seconds=600)
    run = ScenarioRun(given, given.plan(now_ms=now_ms()))
    began = time.monotonic()

    async def stop_soon(_: Look) -> None:
        await until(lambda: len(gateway.bodies) == 1)
        run.stop()

    report = await run.execute(stop_soon, on_sent=lambda: None)
    (lane,) = report.lanes
    assert len(gateway.bodies) == 1
    assert lane.acknowledged == lane.offered == lane.sent == len(gateway.readings)
    assert report.failures == []
    assert time.monotonic() - began < 60  # the next one was due after some minutes


async def test_nothing_is_tried_again(gateway: FakeGateway) -> None:
    gateway.tricks.extend([overloaded] * 100_000)
    given = options(gateway, connections=1, seconds=600)
    run = ScenarioRun(given, given.plan(now_ms=now_ms()))
    posts: list[int] = []

    async def stop_soon(_: Look) -> None:
        await until(lambda: len(gateway.bodies) >= 3)
        run.stop()
        posts.append(len(gateway.bodies))

    report = await run.execute(stop_soon, on_sent=lambda: None)
    assert len(gateway.bodies) <= posts[0] + 1  # the one that was on the way
    assert report.lanes[0].acknowledged == 0
    assert report.exit_code == 1


async def test_an_answer_that_does_not_come_is_not_waited_for(
    gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "_ON_THE_WAY_S", 0.1)
    given = options(gateway, connections=2, seconds=600)
    run = ScenarioRun(given, given.plan(now_ms=now_ms()))
    is_sent = asyncio.Event()

    async def hang() -> None:
        if gateway.bodies:
            await is_sent.wait()

    async def stop_soon(_: Look) -> None:
        await until(lambda: len(gateway.bodies) == 2)
        run.stop()

    monkeypatch.setattr(gateway, "_save", hang)
    async with asyncio.timeout(20):
        report = await run.execute(stop_soon, on_sent=is_sent.set)
    (lane,) = report.lanes
    assert (lane.acknowledged, lane.unacknowledged) == (0, lane.sent)
    assert lane.sent > 0


async def test_before_anything_was_sent_nothing_is(gateway: FakeGateway) -> None:
    given = options(gateway, seconds=600)
    run = ScenarioRun(given, given.plan(now_ms=now_ms()))
    run.stop()
    report = await run.execute(idle, on_sent=lambda: None)
    assert gateway.bodies == []
    assert (report.exit_code, report.failures) == (2, [])
    assert report.interruption == "interrupted before anything was sent"


async def test_over_mqtt_too(gateway: FakeGateway) -> None:
    async with fake_broker.running() as broker:
        given = options(gateway, broker, transport="mqtt", devices=5, rate=1, seconds=600)
        run = ScenarioRun(given, given.plan(now_ms=now_ms()))

        async def stop_soon(_: Look) -> None:
            await until(lambda: len(broker.published) == 1)
            run.stop()

        async with asyncio.timeout(60):
            report = await run.execute(stop_soon, on_sent=lambda: None)
        assert len(broker.published) == 1
        assert report.is_interrupted


def never_heard_of_again(_: FakeGateway, __: object) -> tuple[int, dict[str, object]]:
    """Ask to come again after an hour."""
    return 503, {"code": "overloaded"}
