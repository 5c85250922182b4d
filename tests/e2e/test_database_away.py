"""The database goes away and comes back: what was spooled is stored in the end. Under load: see `test_trials`."""

import os
import subprocess
import sys
from typing import Any

import httpx

from tests.e2e.serving import ADMIN_KEY, Gateway, wait_for
from tests.ground.postgres import DatabaseServer


def post(gateway: Gateway, value: float) -> httpx.Response:
    body = {"device": "d1", "metric": "t", "value": value}
    return httpx.post(
        f"{gateway.url}/v1/readings", json=body, headers={"Authorization": f"Bearer {ADMIN_KEY}"}, timeout=20
    )


def part(gateway: Gateway, name: str) -> dict[str, Any]:
    reply: dict[str, Any] = httpx.get(f"{gateway.url}/readyz", timeout=5).json()
    found: dict[str, Any] = reply["parts"][name]
    return found


def until_drained(gateway: Gateway) -> None:
    wait_for(lambda: part(gateway, "spool")["rows"] == 0, lambda: "the spool is drained", secs=60)


def test_what_is_spooled_survives_kill_9_and_is_drained_by_the_next_gateway(
    gateway: Gateway, own_timescale: DatabaseServer
) -> None:
    gateway.start()
    own_timescale.kill()
    assert [post(gateway, value).json()["durability"] for value in (1.0, 2.0, 3.0)] == ["spool"] * 3
    gateway.kill()
    own_timescale.start()
    gateway.start()
    until_drained(gateway)
    wait_for(lambda: state(gateway) == 3.0, lambda: "the newest spooled value is shown", secs=20)


def test_the_command_line_shows_the_spool_and_empties_it(gateway: Gateway, own_timescale: DatabaseServer) -> None:
    gateway.start()
    own_timescale.kill()
    assert post(gateway, 1.0).json()["durability"] == "spool"
    assert "1 messages, 1 readings" in spool(gateway, "status").stdout
    gateway.kill()
    refused = spool(gateway, "drain", "--give-up", "1")
    assert refused.returncode == 1
    assert "they stay in the spool" in refused.stderr
    own_timescale.start()
    assert spool(gateway, "drain").returncode == 0
    assert "Nothing waits" in spool(gateway, "status").stdout


def spool(gateway: Gateway, *command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "gateway", "spool", *command],
        env=os.environ | dict(gateway.environ),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_gateway_starts_and_accepts_with_the_database_down(gateway: Gateway, own_timescale: DatabaseServer) -> None:
    own_timescale.kill()
    gateway.launch()
    wait_for(gateway.is_alive, lambda: gateway.log.read_text()[-2000:], secs=30)
    reply = post(gateway, 4.5)
    assert (reply.status_code, reply.json()["durability"]) == (200, "spool")
    own_timescale.start()
    gateway.wait_ready()
    until_drained(gateway)
    wait_for(lambda: state(gateway) == 4.5, lambda: "it is shown", secs=20)


def state(gateway: Gateway) -> float | None:
    reply = httpx.get(f"{gateway.url}/v1/devices/d1/state", headers={"Authorization": f"Bearer {ADMIN_KEY}"}, timeout=5)
    metrics = reply.json().get("metrics", {})
    return metrics["t"]["value"] if "t" in metrics else None
