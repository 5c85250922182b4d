"""The database goes away and comes back: what was spooled is stored in the end. Under load: see `test_trials`."""

import json
import os
import subprocess
import sys
from typing import Any
from urllib.parse import urlsplit

import httpx
import paho.mqtt.publish

from tests.e2e.serving import ADMIN_KEY, Gateway, wait_for
from tests.servers import plain_http
from tests.servers.postgres import DatabaseServer


def post(gateway: Gateway, value: float) -> httpx.Response:
    body = {"device": "d1", "metric": "t", "value": value}
    return plain_http.post(
        f"{gateway.url}/v1/readings", json=body, headers={"Authorization": f"Bearer {ADMIN_KEY}"}, timeout=20
    )


def part(gateway: Gateway, name: str) -> dict[str, Any]:
    reply: dict[str, Any] = plain_http.get(f"{gateway.url}/readyz", timeout=5).json()
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


def test_what_is_spooled_is_shown_at_once_and_is_what_the_database_has_in_the_end(
    gateway: Gateway, own_timescale: DatabaseServer
) -> None:
    gateway.start()
    post(gateway, 1.0)
    publish(gateway, 1.0)
    wait_for(lambda: shown(gateway, "d1") == shown(gateway, "d2") == (1.0, "redis"), lambda: "it is there", secs=20)
    own_timescale.kill()
    assert post(gateway, 2.0).json()["durability"] == "spool"
    assert shown(gateway, "d1") == (2.0, "redis")
    publish(gateway, 2.5)
    wait_for(lambda: shown(gateway, "d2") == (2.5, "redis"), lambda: "it is shown", secs=20)
    assert post(gateway, 3.0).json()["durability"] == "spool"
    assert shown(gateway, "d1") == (3.0, "redis")
    own_timescale.start()
    until_drained(gateway)
    assert shown(gateway, "d1") == (3.0, "redis")
    stored = [asked(gateway, f"/v1/devices/{name}/readings?from=-1h")["readings"] for name in ("d1", "d2")]
    assert [[row["values"]["t"] for row in rows] for rows in stored] == [[1.0, 2.0, 3.0], [1.0, 2.5]]


def publish(gateway: Gateway, value: float) -> None:
    """The same over MQTT, from another device."""
    address = urlsplit(gateway.environ["GATEWAY_MQTT__URL"])
    payload = json.dumps({"metric": "t", "value": value})
    paho.mqtt.publish.single(
        "devices/d2/readings", payload, qos=1, hostname=str(address.hostname), port=address.port or 1883
    )


def asked(gateway: Gateway, path: str) -> Any:
    return plain_http.get(f"{gateway.url}{path}", headers={"Authorization": f"Bearer {ADMIN_KEY}"}, timeout=20).json()


def shown(gateway: Gateway, device: str) -> tuple[float, str] | None:
    """The value that the state shows, and where it comes from."""
    found = asked(gateway, f"/v1/devices/{device}/state")
    return (found["metrics"]["t"]["value"], found["source"]) if found.get("metrics") else None


def state(gateway: Gateway) -> float | None:
    found = shown(gateway, "d1")
    return found[0] if found else None
