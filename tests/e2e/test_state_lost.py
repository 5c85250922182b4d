"""Redis lost under a running gateway, from outside: dashboards see the same values, and the gateway stays ready."""

from typing import Any

import redis

from gateway.app.dev_servers.valkey import ValkeyServer
from tests.e2e.conftest import Serve
from tests.e2e.serving import ADMIN_KEY, Gateway, wait_for
from tests.servers import plain_http

DEVICES = [f"d{i}" for i in range(300)]
AUTH = {"Authorization": f"Bearer {ADMIN_KEY}"}


def _post(gateway: Gateway, value: float) -> None:
    body = [{"device": name, "ts": 1_700_000_000_000 + value, "values": {"t": value}} for name in DEVICES]
    assert plain_http.post(f"{gateway.url}/v1/readings", json=body, headers=AUTH, timeout=10).status_code == 200


def _states(gateway: Gateway) -> tuple[set[float], set[str]]:
    """The values and the sources that are shown."""
    reply = plain_http.post(f"{gateway.url}/v1/states:query", json={"devices": DEVICES}, headers=AUTH, timeout=10)
    states: dict[str, Any] = reply.json()["states"]
    assert len(states) == len(DEVICES)
    return {state["metrics"]["t"]["value"] for state in states.values()}, {s["source"] for s in states.values()}


def _redis_part(gateway: Gateway) -> dict[str, Any]:
    reply = plain_http.get(f"{gateway.url}/readyz", timeout=10)
    assert reply.status_code == 200
    part: dict[str, Any] = reply.json()["parts"]["redis"]
    return part


def test_a_flush_and_a_stop_of_valkey_are_not_seen_by_dashboards(serve: Serve, own_valkey: ValkeyServer) -> None:
    gateway = serve(mqtt=False, GATEWAY_REDIS__URL=own_valkey.url())
    _post(gateway, 1)
    assert _states(gateway)[0] == {1}
    wait_for(lambda: _states(gateway)[1] == {"redis"}, lambda: str(_redis_part(gateway)), secs=10)  # new ones are whole
    with redis.Redis.from_url(own_valkey.url()) as client:
        client.flushall()
    assert _states(gateway)[0] == {1}
    wait_for(lambda: _states(gateway) == ({1}, {"redis"}), lambda: str(_redis_part(gateway)), secs=10)
    own_valkey.kill()
    _post(gateway, 2)
    assert _states(gateway) == ({2}, {"db"})
    assert not _redis_part(gateway)["ok"]
    own_valkey.start()
    wait_for(lambda: _states(gateway) == ({2}, {"redis"}), lambda: str(_redis_part(gateway)), secs=10)
    wait_for(lambda: _redis_part(gateway)["ok"], lambda: str(_redis_part(gateway)), secs=10)
