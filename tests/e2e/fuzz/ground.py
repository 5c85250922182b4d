"""One gateway process with something in each of its tables, for tests that ask it about everything."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from gateway.domain.dead_letters import DeadLetter
from gateway.timescale.connections.pool import open_pool
from gateway.timescale.dead_letters.store import TimescaleDeadLetters
from tests.e2e.serving import ADMIN_KEY, Gateway
from tests.servers import plain_http
from tests.servers.databases import Databases

ADMIN = {"Authorization": f"Bearer {ADMIN_KEY}"}
SECS = 30.0
READINGS = [
    {"device": device, "ts": f"2026-01-31T12:00:{second:02}Z", "values": {"temperature": second / 4, "state": "idle"}}
    for device in ("d1", "d2")
    for second in range(20)
]
LETTERS = [
    DeadLetter("mqtt", "unknown_device", "1 refused", "d1", b'[{"values": {"t": 1}}]', "devices/d1/readings"),
    DeadLetter("mqtt", "bad_payload", "no JSON", "d2", b"\xff\x00", "devices/d2/readings"),
    *[DeadLetter("database", "rejected_by_database", "23514: no", "d1", b"{}", f"{n}") for n in range(20)],
]


@contextmanager
def filled_gateway(databases: Databases, valkey: str, folder: Path) -> Iterator[Gateway]:
    """Start it with devices, readings, keys and dead letters; the ids of all these begin with 1."""
    with redis.from_url(valkey) as client:
        client.flushall()
    with asyncio.Runner() as runner:
        migrated = databases.migrated()
        database = runner.run(migrated.__aenter__())
        runner.run(_bury(database.url))
        gateway = Gateway(_environ(database.url, valkey, folder), folder / "gateway.log")
        try:
            gateway.start()
            _fill(gateway)
            yield gateway
        finally:
            gateway.close()
            runner.run(migrated.__aexit__(None, None, None))


def _environ(database: str, valkey: str, folder: Path) -> dict[str, str]:
    return {
        "GATEWAY_DATABASE__URL": database,
        "GATEWAY_REDIS__URL": valkey,
        "GATEWAY_MQTT__URL": "",
        "GATEWAY_AUTH__ADMIN_KEY": ADMIN_KEY,
        "GATEWAY_DEVICES__UNKNOWN": "auto",
        "GATEWAY_HTTP__DRAIN_SECS": "0.2",
        "GATEWAY_SPOOL__DIR": str(folder / "spool"),
    }


async def _bury(url: str) -> None:
    async with open_pool(url, name="fill", size=1, connect_timeout=SECS, command_timeout=SECS) as pool:
        for letter in LETTERS:
            await TimescaleDeadLetters(pool).put([letter])


def _fill(gateway: Gateway) -> None:
    with plain_http.Client(base_url=gateway.url, headers=ADMIN, trust_env=False) as client:
        assert client.post("/v1/readings", json=READINGS).status_code == 200
        for role in ("reader", "ingest"):
            assert client.post("/v1/keys", json={"role": role, "label": role}).status_code == 201
