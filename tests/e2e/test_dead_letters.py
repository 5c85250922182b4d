"""A device that nobody registered talks over MQTT; an operator finds what it said, registers it, and replays."""

import asyncio
import json
import os
import subprocess
import sys
from typing import Any

import aiomqtt

from tests.builders.mqtt.parts import publish
from tests.e2e.conftest import Serve
from tests.e2e.serving import ADMIN_KEY, Gateway, wait_for
from tests.servers import plain_http

BODY = b'[{"ts": 1732276800, "values": {"t": 21.5}}, {"ts": 1732276801, "values": {"t": 21.75}}]'
SOON = 15.0
COMMAND_SECS = 30.0


def operate(gateway: Gateway, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run a command as an operator beside the gateway would."""
    return subprocess.run(
        [sys.executable, "-m", "gateway", *words],
        env=os.environ | dict(gateway.environ) | {"GATEWAY_KEY": ADMIN_KEY},
        capture_output=True,
        text=True,
        timeout=COMMAND_SECS,
        check=False,
    )


def listed(gateway: Gateway) -> list[dict[str, Any]]:
    done = operate(gateway, "dead-letters", "list", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert isinstance(found, list)
    return found


def test_an_unregistered_device_is_found_registered_and_replayed(serve: Serve) -> None:
    gateway = serve(GATEWAY_DEVICES__UNKNOWN="refuse")
    broker = gateway.environ["GATEWAY_MQTT__URL"]
    asyncio.run(publish(broker, "devices/d9/readings", [BODY, BODY], version=aiomqtt.ProtocolVersion.V5))
    wait_for(lambda: [one["count"] for one in listed(gateway)] == [2], lambda: str(listed(gateway)), secs=SOON)
    [letter] = listed(gateway)
    assert (letter["code"], letter["device"], letter["payload"]) == ("unknown_device", "d9", BODY.decode())

    replay = ("dead-letters", "replay", "--device", "d9", "--url", gateway.url)
    refused = operate(gateway, *replay)
    assert (refused.returncode, "unknown_device" in refused.stderr) == (1, True), refused
    assert operate(gateway, "device", "add", "d9").returncode == 0
    wait_for(lambda: operate(gateway, *replay).returncode == 0, lambda: "a registered device may write", secs=SOON)

    with plain_http.Client(
        base_url=gateway.url, headers={"Authorization": f"Bearer {ADMIN_KEY}"}, trust_env=False
    ) as client:
        state = client.get("/v1/devices/d9/state").json()
        assert state["metrics"]["t"]["value"] == 21.75
        again = client.post(f"/v1/dead-letters/{letter['id']}:replay").json()
        assert (again["replayed"], again["receipt"]["accepted"], again["receipt"]["duplicates"]) == (True, 2, 2)
        assert "gateway_dead_letters_replayed_total 2.0" in client.get("/metrics").text
    assert operate(gateway, "dead-letters", "purge", "--replayed").returncode == 0
    assert listed(gateway) == []
