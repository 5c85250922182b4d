"""Idempotency-Key on the real parts: one worker's receipt is replayed by the other, and by the next gateway."""

import json
import socket

import httpx
import pytest

from gateway.state.idempotency import CLAIM_SECS
from tests.e2e.conftest import Serve
from tests.e2e.serving import ADMIN_KEY, Gateway, wait_for
from tests.servers import plain_http

BODY = {"device": "d1", "values": {"a": 1.5}}
"""Without a time of its own: taken in twice, it would be stored twice."""


def post(gateway: Gateway) -> httpx.Response:
    headers = {"Authorization": f"Bearer {ADMIN_KEY}", "Idempotency-Key": "batch-1"}
    return plain_http.post(f"{gateway.url}/v1/readings", json=BODY, headers=headers, timeout=10)


def test_a_repeat_is_replayed_by_any_worker_and_after_a_restart(serve: Serve) -> None:
    gateway = serve(mqtt=False, GATEWAY_HTTP__WORKERS="2", GATEWAY_REDIS__ACK_WAIT_MS="5000")
    first = post(gateway)
    assert (first.status_code, first.json()["accepted"]) == (200, 1)
    repeats = [post(gateway) for _ in range(8)]
    gateway.kill()
    gateway.start()
    for again in (*repeats, post(gateway)):
        assert (again.status_code, again.content) == (200, first.content)
        assert again.headers["idempotency-replayed"] == "true"


def test_a_client_that_leaves_finds_its_receipt_soon(serve: Serve) -> None:
    gateway = serve(mqtt=False, GATEWAY_REDIS__ACK_WAIT_MS="5000")
    body = json.dumps(BODY, separators=(",", ":")).encode()  # as httpx says it
    lines = (
        "POST /v1/readings HTTP/1.1",
        "Host: gateway",
        f"Authorization: Bearer {ADMIN_KEY}",
        "Idempotency-Key: batch-1",
        f"Content-Length: {len(body)}",
    )
    with socket.create_connection(("127.0.0.1", gateway.port)) as sending:
        sending.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
    codes: list[str] = []

    def is_answered() -> bool:
        reply = post(gateway)
        codes.append(reply.json().get("code", ""))
        return reply.status_code == 200

    wait_for(is_answered, lambda: f"the repeat is answered: {codes[-3:]}", secs=CLAIM_SECS / 2)
    assert stored(gateway) == 1


@pytest.mark.parametrize("again", [True, False], ids=["made again", "left to be made"])
def test_what_was_removed_with_its_device_is_taken_in_again(serve: Serve, again: bool) -> None:
    gateway = serve(mqtt=False, GATEWAY_HTTP__WORKERS="2", GATEWAY_REDIS__ACK_WAIT_MS="5000")
    assert post(gateway).json()["accepted"] == 1
    headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
    plain_http.delete(f"{gateway.url}/v1/devices/d1?readings=delete", headers=headers, timeout=10).raise_for_status()
    if again:
        made = plain_http.post(f"{gateway.url}/v1/devices", json={"device": "d1"}, headers=headers, timeout=10)
        assert made.status_code == 201, made.text
    reply = post(gateway)
    assert (reply.status_code, reply.json()["accepted"]) == (200, 1)
    assert "idempotency-replayed" not in reply.headers
    assert stored(gateway) == 1
    repeat = post(gateway)
    assert (repeat.content, repeat.headers["idempotency-replayed"]) == (reply.content, "true")


def stored(gateway: Gateway) -> int:
    """Readings of the device in the database."""
    headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
    answer = plain_http.get(f"{gateway.url}/v1/devices/d1/readings", headers=headers, timeout=10).raise_for_status()
    return len(answer.json()["readings"])
