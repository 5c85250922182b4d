"""Strangers flood with tokens that nobody issued: what is revoked ends all the same, who is new is served all the same.

The whole gateway, on a real database. Times are bounded generously, for a machine that does other things, too: before,
a stream lived on for 45 s and more, and a new token waited for 50 s.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.e2e.conftest import Serve
from tests.e2e.serving import ADMIN_KEY, Gateway
from tests.integration.writing import execute
from tests.servers import plain_http
from tests.servers.freezing import frozen, main_process
from tests.servers.postgres import DatabaseServer

STRANGERS = 1_500
WAYS = ("revoked", "expired", "meant anew", "disabled", "rotated", "removed")
SOON = 10.0
GRACE_SECS = 4.0
ADMIN = {"Authorization": f"Bearer {ADMIN_KEY}"}


@contextmanager
def strangers(gateway: Gateway, *, secs: float) -> Iterator[None]:
    """Strangers, until the end of the block or for so many seconds."""
    words = [sys.executable, "-m", "tests.e2e.strangers", str(gateway.port), str(STRANGERS), str(secs)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["open"] == STRANGERS
        yield
        assert process.poll() is None, "they went on for as long as it was looked at"
    finally:
        process.kill()
        process.communicate()


async def issue(client: httpx.AsyncClient, **grant: object) -> tuple[int, dict[str, str]]:
    answer = await client.post("/v1/keys", json=grant, headers=ADMIN)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    return made["id"], {"Authorization": f"Bearer {made['token']}"}


@asynccontextmanager
async def calling(gateway: Gateway) -> AsyncIterator[httpx.AsyncClient]:
    async with plain_http.AsyncClient(base_url=gateway.url, trust_env=False, timeout=60) as client:
        answer = await client.post("/v1/readings", json={"device": "d1", "metric": "t", "value": 1.0}, headers=ADMIN)
        assert answer.status_code == 200, answer.text
        yield client


async def until_stream_ends(client: httpx.AsyncClient, headers: dict[str, str], begun: asyncio.Event) -> float:
    async with client.stream("GET", "/v1/stream", headers=headers) as answer:
        assert answer.status_code == 200
        begun.set()
        async for _ in answer.aiter_bytes():
            pass
    return time.monotonic()


async def until_socket_ends(gateway: Gateway, headers: dict[str, str], begun: asyncio.Event) -> float:
    uri = gateway.url.replace("http", "ws", 1) + "/v1/ws"
    async with connect(uri, additional_headers=headers, proxy=None) as socket:
        begun.set()
        with suppress(ConnectionClosed):
            async for _ in socket:
                pass
        assert socket.close_code == 1008
    return time.monotonic()


async def end(gateway: Gateway, client: httpx.AsyncClient, way: str, number: int) -> None:
    """End a credential in one of the ways that there are."""
    calls: dict[str, tuple[str, str, object]] = {
        "revoked": ("DELETE", f"/v1/keys/{number}", None),
        "disabled": ("PATCH", "/v1/devices/disabled", {"enabled": False}),
        "rotated": ("POST", "/v1/devices/rotated/keys:rotate", {"overlap_secs": 0}),
        "removed": ("DELETE", "/v1/devices/removed?readings=delete", None),
    }
    if way in calls:
        method, path, body = calls[way]
        answer = await client.request(method, path, json=body, headers=ADMIN)
        assert answer.status_code in (200, 201, 204), answer.text
        return
    change = {"expired": "expires_at = now()", "meant anew": "role = 'ingest'"}[way]
    await execute(gateway.environ["GATEWAY_DATABASE__URL"], f"update credentials set {change} where id = {number}")


async def test_streams_end_with_their_credential_and_a_new_token_is_served(serve: Serve) -> None:
    gateway = serve(mqtt=False)
    secs: dict[str, float] = {}
    async with calling(gateway) as client, AsyncExitStack() as stack:
        streams: dict[str, tuple[int, asyncio.Task[float]]] = {}
        for way in ("socket", *WAYS):
            grant = await grant_for(client, way)
            number, headers = await issue(client, **grant)
            begun = asyncio.Event()
            ending = until_socket_ends(gateway, headers, begun) if way == "socket" else None
            task = asyncio.create_task(ending or until_stream_ends(client, headers, begun))
            stack.callback(task.cancel)
            await asyncio.wait_for(begun.wait(), SOON)
            streams[way] = number, task
        with strangers(gateway, secs=120):
            for way, (number, task) in streams.items():
                await end(gateway, client, "revoked" if way == "socket" else way, number)
                at = time.monotonic()
                secs[way] = round(await asyncio.wait_for(task, SOON) - at, 3)
            waits = [await first_answer(client) for _ in range(3)]
    sys.stdout.write(f"streams ended after {secs}, new tokens served after {waits} s\n")
    assert gateway.terminate() == 0


async def grant_for(client: httpx.AsyncClient, way: str) -> dict[str, object]:
    """What the credential is that shall end in this way: of a device, where the device is what changes."""
    if way not in ("disabled", "rotated", "removed"):
        return {"role": "reader"}
    answer = await client.post("/v1/devices", json={"device": way}, headers=ADMIN)
    assert answer.status_code == 201, answer.text
    return {"role": "device", "device": way}


async def first_answer(client: httpx.AsyncClient) -> float:
    """Seconds until a token that no worker has seen is served."""
    _, headers = await issue(client, role="reader")
    began = time.monotonic()
    answer = await asyncio.wait_for(client.get("/v1/devices/d1/state", headers=headers), SOON)
    assert answer.status_code == 200, answer.text
    return round(time.monotonic() - began, 3)


async def test_a_database_that_is_mute(gateway: Gateway, own_timescale: DatabaseServer) -> None:
    """New tokens wait together and not for long, known ones need it not, and what is open ends after the grace."""
    gateway.environ = {**gateway.environ, "GATEWAY_AUTH__GRACE_SECS": str(GRACE_SECS)}
    gateway.start()
    async with calling(gateway) as client:
        _, known = await issue(client, role="reader")
        assert (await ask(gateway, known))[1].status_code == 200
        new = [(await issue(client, role="reader"))[1] for _ in range(150)]
        streams = [await opened(client, headers) for headers in (known, ADMIN)]
        with frozen(main_process(own_timescale)):
            at = time.monotonic()
            answers = await asyncio.gather(*[ask(gateway, headers) for headers in (*new, known)])
            answers += await asyncio.gather(*[ask(gateway, headers) for headers in new[:3]])
            ended = await asyncio.wait_for(streams[0], GRACE_SECS + SOON) - at
            refused = await client.get("/v1/stream", headers=known)
            still_known = (await ask(gateway, known))[1]
            assert not streams[1].done(), "the bootstrap key stands in the settings"
        waits = [secs for secs, answer in answers if answer.status_code == 503]
        assert [answer.status_code for _, answer in answers] == [503] * 150 + [200] + [503] * 3
        for secs, answer in answers:
            assert answer.status_code == 200 or answer.json()["code"] == "database_unavailable"
            assert answer.status_code == 200 or int(answer.headers["retry-after"]) >= 1
            assert secs < SOON
        assert ended > GRACE_SECS - 1.0, "what cannot be verified for a moment goes on"
        assert (refused.status_code, refused.json()["limit"]) == (503, "auth.grace_secs")
        assert still_known.status_code == 200
        sys.stdout.write(f"new tokens waited for {sorted(waits)[75]:.2f} s (p50), streams lasted for {ended:.2f} s\n")
        for headers in (new[0], known):
            await until_begun(client, headers)
        streams[1].cancel()


async def ask(gateway: Gateway, headers: dict[str, str]) -> tuple[float, httpx.Response]:
    """The state of a device, and how many seconds it took, on a connection of its own."""
    async with plain_http.AsyncClient(base_url=gateway.url, trust_env=False, timeout=60) as own:
        began = time.monotonic()
        answer = await own.get("/v1/devices/d1/state", headers=headers)
        return time.monotonic() - began, answer


async def opened(client: httpx.AsyncClient, headers: dict[str, str]) -> "asyncio.Task[float]":
    """A stream that has begun."""
    begun = asyncio.Event()
    task = asyncio.create_task(until_stream_ends(client, headers, begun))
    await asyncio.wait_for(begun.wait(), SOON)
    return task


async def until_begun(client: httpx.AsyncClient, headers: dict[str, str]) -> None:
    """Try again until a stream begins."""
    async with asyncio.timeout(2 * SOON):
        while True:
            async with client.stream("GET", "/v1/stream", headers=headers) as answer:
                if answer.status_code == 200:
                    return
            await asyncio.sleep(0.1)
