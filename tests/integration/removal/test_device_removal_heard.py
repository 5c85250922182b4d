"""A removed device over HTTP: refused by every gateway within a second, and a new one under the same name."""

import asyncio
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

from gateway.domain.credentials import digest_of
from tests.integration.live_gateways import until
from tests.integration.whole_gateway import Whole, settings_of, whole
from tests.integration.writing import fetch
from tests.servers.databases import Database


async def test_two_gateways_refuse_it_within_a_second(timescale_db: Database, valkey: str, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        one, other = [
            await stack.enter_async_context(whole(settings_of(timescale_db.url, valkey, tmp_path / name)))
            for name in ("one", "other")
        ]
        await one.json("POST", "/v1/devices", status=201, json={"device": "d1"})
        token = (await one.json("POST", "/v1/keys", status=201, json={"role": "device", "device": "d1"}))["token"]
        mine = {"Authorization": f"Bearer {token}"}
        body = {"device": "d1", "values": {"t": 1.0}}
        for gateway in (one, other):
            await gateway.json("POST", "/v1/readings", json=body, headers=mine)
            await gateway.json("GET", "/v1/devices/d1/state", headers=mine)
        await one.json("DELETE", "/v1/devices/d1", status=409)
        await one.json("DELETE", "/v1/devices/d1?readings=delete", status=204)

        late = {
            "device": "d1",
            "values": {"late": 1.0},
        }  # whoever has not heard takes it, and then it is the new device's

        async def refused() -> bool:
            seen = [
                (await gateway.call("POST", "/v1/readings", json=late, headers=mine)).status_code
                for gateway in (one, other)
            ]
            return seen == [401, 401]

        async with asyncio.timeout(1):
            await until(refused)
        for gateway in (one, other):
            got = await gateway.json("POST", "/v1/readings", json=body, status=422)
            assert got["errors"][0]["code"] == "unknown_device"
            await until(partial(stateless, gateway))
        await _comes_back(one, other, digest_of(token), timescale_db.url)


async def stateless(gateway: Whole) -> bool:
    """Whether the state has nothing of the device any more, nor what was written while it was removed."""
    return (await gateway.call("GET", "/v1/devices/d1/state")).status_code == 404


async def _comes_back(one: Whole, other: Whole, old: bytes, url: str) -> None:
    """Registered again it is a new device: known to both within a second, without old readings or tokens."""
    await one.json("POST", "/v1/devices", status=201, json={"device": "d1"})

    async def taken() -> bool:
        got = await other.call("POST", "/v1/readings", json={"device": "d1", "values": {"u": 2.0}})
        return got.status_code == 200

    async with asyncio.timeout(2):
        await until(taken)
    state = await one.json("GET", "/v1/devices/d1/state")
    assert {"u"} <= set(state["metrics"]) <= {"u", "late"}
    assert await fetch(url, "select count(*) from credentials where digest = $1", old) == [(0,)]
    assert (await other.json("GET", "/v1/keys?role=device&all=true"))["keys"] == []
