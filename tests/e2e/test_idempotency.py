"""Idempotency-Key on the real parts: one worker's receipt is replayed by the other, and by the next gateway."""

import httpx

from tests.e2e.conftest import Serve
from tests.e2e.serving import ADMIN_KEY, Gateway

BODY = {"device": "d1", "values": {"a": 1.5}}
"""Without a time of its own: taken in twice, it would be stored twice."""


def post(gateway: Gateway) -> httpx.Response:
    headers = {"Authorization": f"Bearer {ADMIN_KEY}", "Idempotency-Key": "batch-1"}
    return httpx.post(f"{gateway.url}/v1/readings", json=BODY, headers=headers, timeout=10)


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
