"""The promise of the live stream, on real gateways: nothing lost, nothing repeated, nobody waits for another."""

import asyncio
import socket
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
from httpx_sse import aconnect_sse

from gateway.app.dev_servers.valkey import ValkeyServer
from gateway.core.tasks import background
from tests.e2e.conftest import Serve
from tests.e2e.serving import ADMIN_KEY, Gateway
from tests.e2e.watching import HEADERS, Cheap, Faithful, device
from tests.servers import plain_http
from tests.servers.databases import Database

READERS, READINGS = 1000, 15
SOON = 60.0
BEGIN = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=5)


async def until(holds: object, secs: float = SOON) -> None:
    assert callable(holds)
    async with asyncio.timeout(secs):
        while not holds():  # noqa: ASYNC110 - it is other processes that change
            await asyncio.sleep(0.02)


async def stored(database: Database) -> list[tuple[str, str]]:
    connection = await asyncpg.connect(database.url)
    try:
        rows = await connection.fetch("select device, time from readings order by time")
    finally:
        await connection.close()
    return [(row["device"], row["time"].strftime("%Y-%m-%dT%H:%M:%S.%fZ")) for row in rows]


def message(number: int, device: str = "d1") -> dict[str, object]:
    return {"device": device, "ts": (BEGIN + timedelta(milliseconds=number)).isoformat(), "values": {"n": number}}


def stall(gateway: Gateway) -> socket.socket:
    """A reader that asks for everything and takes nothing."""
    stalled = socket.socket()
    stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    stalled.connect(("127.0.0.1", gateway.port))
    stalled.sendall(f"GET /v1/stream HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {ADMIN_KEY}\r\n\r\n".encode())
    return stalled


async def test_a_thousand_readers_and_one_that_takes_nothing(serve: Serve) -> None:
    gateway = serve(mqtt=False)
    loop = asyncio.get_running_loop()
    readers = [Cheap("device=d1&metric=sent" if i % 2 else "snapshot=false&metric=sent") for i in range(READERS - 1)]
    with stall(gateway):
        for start in range(0, len(readers), 100):
            part = readers[start : start + 100]
            await asyncio.gather(
                *(loop.create_connection(lambda one=one: one, "127.0.0.1", gateway.port) for one in part)  # type: ignore[misc]
            )
        await until(lambda: all(reader.begun for reader in readers))
        async with plain_http.AsyncClient(headers=HEADERS, trust_env=False, timeout=20) as client:
            filler = [{"device": f"f{i}", "values": {"text": "x" * 4000}} for i in range(40)]
            for sent in range(1, READINGS + 1):
                body = [{"device": "d1", "values": {"sent": time.time()}}, *filler]
                assert (await client.post(f"{gateway.url}/v1/readings", json=body)).status_code == 200
                await until(lambda sent=sent: all(len(reader.late) >= sent for reader in readers))
            metrics = (await client.get(f"{gateway.url}/metrics")).text
    assert {len(reader.late) for reader in readers} == {READINGS}
    assert f"gateway_live_streams {READERS}.0" in metrics
    late = sorted(secs for reader in readers for secs in reader.late)
    shown = {share: round(1000 * late[int(share * (len(late) - 1))]) for share in (0.5, 0.99, 1)}
    print(f"{len(late)} events; milliseconds from before the post until seen: {shown}")  # noqa: T201
    for reader in readers:
        reader.transport.abort()


async def test_coming_back_anywhere_loses_and_repeats_nothing(
    serve: Serve, timescale_db: Database, tmp_path: Path
) -> None:
    gateways = [serve(mqtt=False, GATEWAY_SPOOL__DIR=str(tmp_path / name)) for name in ("one", "two")]
    addresses = [gateway.url for gateway in gateways]
    reader, count = Faithful(addresses, "device=d1,d2"), 100
    following = asyncio.create_task(reader.follow(lambda one: len(one.seen) >= count, leave_after=5))
    await until(lambda: reader.resets)
    async with device(*addresses) as sender:
        for number in range(count):
            await sender.post(message(number, f"d{1 + number % 2}"), first=number % 2)
    await asyncio.wait_for(following, SOON)
    assert reader.resets == ["start"]
    assert reader.connections > count / 20
    assert sorted(reader.seen) == sorted(await stored(timescale_db))
    assert len(set(reader.ids)) == len(reader.ids)


async def test_a_rolling_restart_under_load_is_no_gap(serve: Serve, timescale_db: Database, tmp_path: Path) -> None:
    settings = {"GATEWAY_REDIS__ACK_WAIT_MS": "5000"}  # an answer means that the change is in the log, too
    gateways = [serve(mqtt=False, GATEWAY_SPOOL__DIR=str(tmp_path / name), **settings) for name in ("one", "two")]
    addresses = [gateway.url for gateway in gateways]
    reader, restarted = Faithful(addresses, "device=d0,d1"), asyncio.Event()

    async def load(name: int) -> int:
        number = 0
        async with device(*addresses) as sender:
            while not restarted.is_set():
                await sender.post(message(number, f"d{name}"), first=number + name)
                number += 1
                await asyncio.sleep(0.005)
        return number

    async with background(reader.follow(lambda _: False, leave_after=10**9), name="reader"):
        await until(lambda: reader.resets)
        async with asyncio.TaskGroup() as group:
            senders = [group.create_task(load(name)) for name in (0, 1)]
            for gateway in gateways:
                assert await asyncio.to_thread(gateway.terminate) == 0
                await asyncio.to_thread(gateway.start)
            restarted.set()
        posted = sum([sender.result() for sender in senders])
        await until(lambda: len(reader.seen) >= posted)
    assert reader.resets == ["start"]
    assert reader.connections > len(gateways)
    assert Counter(reader.seen) == Counter(await stored(timescale_db))


async def test_a_gateway_that_is_killed_takes_no_change_with_it(
    serve: Serve, timescale_db: Database, tmp_path: Path
) -> None:
    settings = {"GATEWAY_REDIS__ACK_WAIT_MS": "5000"}  # an answer means that the change is in the log, too
    victim, other = [serve(mqtt=False, GATEWAY_SPOOL__DIR=str(tmp_path / name), **settings) for name in ("one", "two")]
    addresses = [victim.url, other.url]
    reader, count = Faithful([victim.url], "device=d1"), 120

    def enough(one: Faithful) -> bool:
        return len(set(one.seen)) >= count and "lost" in one.resets

    following = asyncio.create_task(reader.follow(enough, leave_after=20))
    await until(lambda: reader.resets)
    async with device(*addresses) as sender:
        for number in range(count):
            if number == count // 3:
                await asyncio.to_thread(victim.kill)
                victim.launch()
            await sender.post(message(number))
    await asyncio.wait_for(following, SOON)
    assert Counter(reader.seen) == Counter(await stored(timescale_db))  # all of it, each once
    assert set(reader.resets) == {"start", "lost"}  # and that a gateway died, which may have cost something, is said


async def test_a_tag_is_followed_and_a_revoked_key_ends_its_streams(serve: Serve) -> None:
    gateway = serve(mqtt=False)
    async with plain_http.AsyncClient(base_url=gateway.url, headers=HEADERS, trust_env=False, timeout=20) as client:
        key = (await client.post("/v1/keys", json={"role": "reader"})).json()
        assert (await client.post("/v1/devices", json={"device": "d1"})).status_code == 201
        async with (
            plain_http.AsyncClient(base_url=gateway.url, trust_env=False, timeout=20) as reading,
            aconnect_sse(
                reading, "GET", "/v1/stream?tag=site:north", headers={"Authorization": f"Bearer {key['token']}"}
            ) as source,
            device(gateway.url) as sender,
        ):
            events = source.aiter_sse()
            assert (await anext(events)).json()["states"] == {}
            tagged = await client.patch(
                "/v1/devices/d1",
                json={"tags": {"site": "north"}},
                headers={"Content-Type": "application/merge-patch+json"},
            )
            assert tagged.status_code == 200, tagged.text
            seen = asyncio.ensure_future(anext(events))
            async with asyncio.timeout(SOON):
                for number in range(1000):
                    await sender.post(message(number))
                    if (await asyncio.wait([seen], timeout=0.05))[0]:
                        break
            assert (await seen).json()["changes"][0]["device"] == "d1"
            assert (await client.delete(f"/v1/keys/{key['id']}")).status_code == 204
            async with asyncio.timeout(SOON):
                async for _ in events:  # it ends
                    pass


async def test_a_redis_that_restarts_or_is_emptied_is_told(serve: Serve, own_valkey: ValkeyServer) -> None:
    gateway = serve(mqtt=False, GATEWAY_REDIS__URL=own_valkey.url())
    reader = Faithful([gateway.url], "device=d1")
    following = asyncio.create_task(reader.follow(lambda one: len(one.resets) >= 2, leave_after=1000))
    await until(lambda: reader.resets)
    async with device(gateway.url) as sender:
        await sender.post(message(1))
    await until(lambda: len(reader.seen) == 1)
    own_valkey.kill()
    own_valkey.restart()
    await asyncio.wait_for(following, SOON)
    assert reader.resets == ["start", "lost"]
    again = Faithful([gateway.url], "device=d1", ids=list(reader.ids[:1]))
    await asyncio.wait_for(again.follow(lambda one: bool(one.resets), leave_after=1000), SOON)
    assert again.resets == ["lost"]
