"""The promise, from outside: whatever was acknowledged is stored exactly once, with its value, and shown."""

import os
import signal
from typing import Any

import pytest

from tests.e2e.conftest import Run, Serve
from tests.e2e.serving import Gateway, wait_for
from tests.servers import plain_http

LOAD = ("--devices", "200", "--rate", "20000", "--batch", "50", "--mixed-kinds", "--seed", "7")


def kept(report: dict[str, Any]) -> None:
    """Check the verdict: nothing acknowledged is lost, doubled, altered or wrongly shown; all was looked at."""
    verdict = report["verdict"]
    assert verdict["stored_checked"]
    assert verdict["states_unchecked"] in (None, "")
    for lane in report["lanes"]:
        findings = verdict["findings"][lane["transport"]]
        assert lane["acknowledged"] > 0
        assert findings["stored"] >= lane["acknowledged"]
        assert findings["state_checked"] > 0
        for fault in ("lost", "duplicated", "wrong", "unexpected", "state_wrong"):
            assert findings[fault] == 0, findings["problems"]


def until_it_flows(gateway: Gateway) -> None:
    """Wait until a good part of a load has been committed since now."""
    start = readings_stored(gateway)
    wait_for(lambda: readings_stored(gateway) > start + 10_000, lambda: "the load flows", secs=30)


def readings_stored(gateway: Gateway) -> float:
    text = plain_http.get(f"{gateway.url}/metrics", timeout=5).text
    lines = [line for line in text.splitlines() if line.startswith("gateway_readings_stored_total")]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


def test_mixed_load_is_stored_exactly_once(serve: Serve, run: Run) -> None:
    gateway = serve()
    code, report, output = run(gateway, *LOAD, "--transport", "mixed", "--seconds", "6").finish()
    assert code == 0, output
    kept(report)
    assert [lane["unacknowledged"] for lane in report["lanes"]] == [0, 0]


@pytest.mark.parametrize("transport", ["http", "mqtt"])
def test_kill_9_in_the_middle_loses_nothing_acknowledged(serve: Serve, run: Run, transport: str) -> None:
    gateway = serve()
    simulator = run(gateway, *LOAD, "--transport", transport, "--seconds", "90")
    for _ in range(2):
        until_it_flows(gateway)
        gateway.kill()
        gateway.start()
    until_it_flows(gateway)
    simulator.stop()
    code, report, output = simulator.finish()
    assert code == 0, output
    kept(report)


def test_sigterm_under_load_drains_and_exits_0(serve: Serve, run: Run) -> None:
    gateway = serve()
    simulator = run(gateway, *LOAD, "--transport", "mixed", "--seconds", "90")
    until_it_flows(gateway)
    assert gateway.terminate() == 0
    gateway.start()
    until_it_flows(gateway)
    simulator.stop()
    code, report, output = simulator.finish()
    assert code == 0, output
    kept(report)


def test_two_workers_share_the_load_and_one_that_is_killed_comes_back(serve: Serve, run: Run) -> None:
    gateway = serve(GATEWAY_HTTP__WORKERS="2")
    simulator = run(gateway, *LOAD, "--transport", "mixed", "--seconds", "90")
    until_it_flows(gateway)
    first, second = gateway.workers()
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: len(set(gateway.workers()) - {first, second}) == 1, lambda: "a new worker", secs=30)
    until_it_flows(gateway)
    simulator.stop()
    code, report, output = simulator.finish()
    assert code == 0, output
    kept(report)
