"""Limits on a whole gateway, over both doors: the noisy are slowed, the quiet are not, and the books balance."""

import asyncio
import subprocess
import sys
import time
from typing import Any

import aiomqtt
import httpx

from tests.builders.mqtt.parts import device_client
from tests.e2e.conftest import Serve
from tests.e2e.serving import Gateway, wait_for
from tests.e2e.test_ledger import books_of
from tests.servers import plain_http

RATE, BURST = 40, 40
LIMITS = {
    "GATEWAY_LIMITS__KEY_READINGS_PER_SEC": str(RATE),
    "GATEWAY_LIMITS__DEVICE_READINGS_PER_SEC": str(RATE),
    "GATEWAY_LIMITS__BURST_SECS": "1",
}
NOISY_MESSAGES, QUIET_MESSAGES, BODY_READINGS = 120, 10, 10


def new_key(gateway: Gateway, prefix: str) -> str:
    """An ingest key for devices with this prefix, made by the command that operators use."""
    command = [sys.executable, "-m", "gateway", "key", "add", "--role", "ingest", "--prefix", prefix]
    done = subprocess.run(command, env=dict(gateway.environ), capture_output=True, text=True, timeout=60, check=True)
    return next(word for word in done.stdout.split() if word.startswith("gwi_"))


def body(device: str, number: int) -> list[dict[str, Any]]:
    first = 1_760_000_000_000 + 1000 * number
    return [{"device": device, "ts": first + i, "values": {"t": i}} for i in range(BODY_READINGS)]


async def publish(gateway: Gateway, device: str, count: int) -> None:
    """All at once: however slow the machine, they come faster than they may."""
    url = gateway.environ["GATEWAY_MQTT__URL"]
    payloads = [b'{"ts": %d, "values": {"n": %d}}' % (1_760_000_000 + number, number) for number in range(1, count + 1)]
    async with device_client(url, client_id=device, version=aiomqtt.ProtocolVersion.V5) as client:
        await asyncio.gather(*[client.publish(f"devices/{device}/readings", payload, 1) for payload in payloads])


def counted(gateway: Gateway, start: str) -> float:
    text = plain_http.get(f"{gateway.url}/metrics", timeout=5).text
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(start))


def balances(account: dict[str, int]) -> bool:
    return account["received"] == sum(account.values()) - account["received"]


def test_http_refuses_the_noisy_and_the_books_know_only_what_was_taken(serve: Serve) -> None:
    gateway = serve(mqtt=False, **LIMITS)
    noisy, quiet = new_key(gateway, "noisy-"), new_key(gateway, "quiet-")
    began = time.monotonic()
    accepted: dict[str, int] = {"noisy-1": 0, "quiet-1": 0}
    with plain_http.Client(base_url=gateway.url, timeout=10) as client:

        def post(token: str, device: str, number: int, query: str = "") -> httpx.Response:
            headers = {"authorization": f"Bearer {token}"}
            answer = client.post(f"/v1/readings{query}", json=body(device, number), headers=headers)
            accepted[device] += BODY_READINGS * (answer.status_code == 200)
            return answer

        answers = [post(noisy, "noisy-1", number) for number in range(40)]
        assert [post(quiet, "quiet-1", number).status_code for number in range(3)] == [200] * 3
        refusals = [answer for answer in answers if answer.status_code == 429]
        assert refusals
        assert accepted["noisy-1"] <= BURST + RATE * (time.monotonic() - began) + BODY_READINGS
        time.sleep(refusals[-1].json()["retry_after_ms"] / 1000)  # who comes back when told is let in
        assert post(noisy, "noisy-1", 98).status_code == 200
        assert post(quiet, "quiet-1", 99, "?backfill=true").status_code == 200
    books = books_of(gateway)
    assert books["sources"]["http"]["stored"] == books["sources"]["http"]["received"] == sum(accepted.values())
    assert balances(books["total"])
    refused = 'gateway_rate_limited_total{limit="limits.key_readings_per_sec",outcome="refused"}'
    assert counted(gateway, refused) == len(refusals)


def test_mqtt_slows_the_noisy_and_loses_nothing(serve: Serve) -> None:
    gateway = serve(**LIMITS)
    began = time.monotonic()
    asyncio.run(publish(gateway, "noisy", NOISY_MESSAGES))
    asyncio.run(publish(gateway, "quiet", QUIET_MESSAGES))

    def stored(device: str) -> int:
        headers = {"authorization": f"Bearer {gateway.environ['GATEWAY_AUTH__ADMIN_KEY']}"}
        answer = plain_http.get(f"{gateway.url}/v1/devices/{device}/state", headers=headers, timeout=5)
        return int(answer.json()["metrics"]["n"]["value"]) if answer.status_code == 200 else 0

    wait_for(lambda: stored("quiet") == QUIET_MESSAGES, lambda: "the quiet device is stored", secs=10)
    assert stored("noisy") <= BURST + RATE * (time.monotonic() - began) + 1
    wait_for(lambda: stored("noisy") == NOISY_MESSAGES, lambda: "the noisy device is stored", secs=20)
    assert time.monotonic() - began >= (NOISY_MESSAGES - BURST - 1) / RATE
    account = books_of(gateway)["sources"]["mqtt"]
    assert account["stored"] == account["received"] == NOISY_MESSAGES + QUIET_MESSAGES
    assert balances(account)
    assert counted(gateway, 'gateway_rate_limited_total{limit="limits.device_readings_per_sec",outcome="slowed"}') > 0
    assert (
        counted(gateway, 'gateway_rate_limited_total{limit="limits.device_readings_per_sec",outcome="backfill"}') == 0
    )
