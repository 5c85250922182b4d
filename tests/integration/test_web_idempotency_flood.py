"""One device sends as many Idempotency-Keys with long receipts as it can, to a whole gateway: Redis stays as it is."""

import asyncio
import secrets
from pathlib import Path
from typing import Any

import redis.asyncio
from msgspec.structs import replace

from gateway.core.settings import HttpSettings
from tests.integration.whole_gateway import Whole, settings_of, whole
from tests.servers.databases import Database

OWN = 2**18
REFUSED = 60
"""Readings of a body whose names are too long: about 30 KiB of refusals, most of which is the sender's choice."""


def body() -> dict[str, Any]:
    return {
        "device": "flooding",
        "ts": 1_732_277_000_123,
        "values": {secrets.token_hex(100): 1 for _ in range(REFUSED)},
    }


async def post(gateway: Whole, token: str, key: str, content: object) -> tuple[int, bool]:
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": key}
    got = await gateway.client.post("/v1/readings", json=content, headers=headers)
    return got.status_code, got.headers.get("idempotency-replayed") == "true"


async def test_a_flood_of_keys_costs_its_own_answers_only(timescale_db: Database, valkey: str, tmp_path: Path) -> None:
    settings = settings_of(timescale_db.url, valkey, tmp_path)
    http = HttpSettings(drain_secs=0, grace_secs=1, idempotency_credential_bytes=OWN)
    async with (
        whole(replace(settings, http=http, redis=replace(settings.redis, ack_wait_ms=5000))) as gateway,
        redis.asyncio.from_url(valkey) as client,
    ):
        tokens = {}
        for name in ("flooding", "honest"):
            await gateway.json("POST", "/v1/devices", json={"device": name}, status=201)
            issued = await gateway.json("POST", "/v1/keys", json={"role": "device", "device": name}, status=201)
            tokens[name] = issued["token"]
        reading = {"device": "honest", "metric": "t", "value": 1.5, "ts": 1_732_277_000_123}
        assert await post(gateway, tokens["honest"], "mine", reading) == (200, False)
        bodies = [body() for _ in range(120)]
        for start in range(0, 120, 20):
            told = await asyncio.gather(
                *[post(gateway, tokens["flooding"], str(n), bodies[n]) for n in range(start, start + 20)]
            )
            assert set(told) == {(422, False)}
        names = [name async for name in client.scan_iter("*/answers:*")]
        taken = [int(await client.memory_usage(name, samples=0) or 0) for name in names]
        assert sum(taken) < 1.4 * OWN
        assert await post(gateway, tokens["honest"], "mine", reading) == (200, True)
        assert await post(gateway, tokens["flooding"], "119", bodies[119]) == (422, True)
        state = await gateway.json("GET", "/v1/devices/honest/state")
        assert state["metrics"]["t"]["value"] == 1.5
