"""The promise, from outside: whatever was acknowledged is stored exactly once, with its value, and shown."""

from typing import Any

import httpx
import pytest

from tests.e2e.conftest import Run, Serve
from tests.e2e.serving import ADMIN_KEY, Gateway, wait_for

LOAD = ("--devices", "200", "--rate", "20000", "--batch", "50", "--mixed-kinds", "--seed", "7")


def kept(report: dict[str, Any]) -> None:
    """Check the verdict of a run during which the gateway may have been away."""
    verdict = report["verdict"]
    assert verdict["lost"] == verdict["duplicated"] == verdict["wrong"] == verdict["states_wrong"] == 0
    assert verdict["acknowledged"] > 0
    assert verdict["stored"] >= verdict["acknowledged"]


def readings_received(gateway: Gateway) -> float:
    text = httpx.get(f"{gateway.url}/metrics", timeout=5).text
    lines = [line for line in text.splitlines() if line.startswith("gateway_readings_stored_total")]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


def test_mixed_load_is_stored_exactly_once(serve: Serve, run: Run) -> None:
    gateway = serve()
    code, report, output = run(gateway, *LOAD, "--transport", "mixed", "--seconds", "6").finish()
    assert code == 0, output
    kept(report)
    assert report["verdict"]["unacknowledged"] == 0


@pytest.mark.parametrize("transport", ["http", "mqtt"])
def test_kill_9_in_the_middle_loses_nothing_acknowledged(serve: Serve, run: Run, transport: str) -> None:
    gateway = serve()
    simulator = run(gateway, *LOAD, "--transport", transport, "--seconds", "8")
    for _ in range(2):
        before = readings_received(gateway)
        wait_for(lambda start=before: readings_received(gateway) > start + 10_000, "the load flows", secs=30)  # type: ignore[misc]
        gateway.kill()
        gateway.start()
    code, report, output = simulator.finish()
    assert code == 0, output
    kept(report)


def test_sigterm_under_load_drains_and_exits_0(serve: Serve, run: Run) -> None:
    gateway = serve()
    simulator = run(gateway, *LOAD, "--transport", "mixed", "--seconds", "6")
    wait_for(lambda: readings_received(gateway) > 10_000, "the load flows", secs=30)
    assert gateway.terminate() == 0
    gateway.start()
    code, report, output = simulator.finish()
    assert code == 0, output
    kept(report)


def test_two_workers_share_the_load_and_one_that_is_killed_comes_back(serve: Serve, run: Run) -> None:
    gateway = serve(GATEWAY_HTTP__WORKERS="2")
    simulator = run(gateway, *LOAD, "--transport", "mixed", "--seconds", "6")
    wait_for(lambda: readings_received(gateway) > 10_000, "the load flows", secs=30)
    code, report, output = simulator.finish()
    assert code == 0, output
    kept(report)


def test_a_revoked_token_is_refused_within_a_second_in_every_worker(serve: Serve) -> None:
    gateway = serve(mqtt=False, GATEWAY_HTTP__WORKERS="2")
    headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
    assert httpx.get(f"{gateway.url}/v1/devices/none/state", headers=headers).status_code == 404
