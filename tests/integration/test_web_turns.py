"""One connection that sends what is cheap for it and dear for us: others have their turns all the same."""

import asyncio
import base64
import time
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
import pytest_asyncio

from gateway.telemetry import exposition
from tests.integration.loop_watch import watching
from tests.integration.twin_doors import StoringDoor
from tests.integration.web_server import Door, serving
from tests.integration.web_wire import Wire, head

HEALTH = b"GET /livez HTTP/1.1\r\nHost: g\r\n\r\n"
MOST_SECS = 0.03
"""CPU between two turns of the loop, of which the test's own part is about 1 ms."""
CHECKS = 10
MIB = 2**20
UPGRADE = (
    b"GET /v1/ws HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer admin\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %b\r\n\r\n" % base64.b64encode(b"0123456789abcdef")
)
POST = b'{"device":"d1","metric":"t","value":1}'
CHUNKED = head("/v1/readings", "Transfer-Encoding: chunked")
ATTACKS = {
    "empty fragments": (UPGRADE, b"\x01\x80abcd" + b"\x00\x80abcd" * (MIB // 6)),
    "empty messages": (UPGRADE, b"\x81\x80abcd" * (MIB // 6)),
    "pings": (UPGRADE, b"\x89\x80abcd" * (MIB // 6)),
    "pongs": (UPGRADE, b"\x8a\x80abcd" * (MIB // 6)),
    "pings in a message": (UPGRADE, b"\x01\x81abcd\x19" + b"\x89\x80abcd" * (MIB // 6)),
    "pipelined requests": (b"", HEALTH * 4000),
    "pipelined posts": (b"", (head("/v1/readings", f"Content-Length: {len(POST)}") + POST) * 1000),
    "pipelined refusals": (b"", b"GET /nowhere HTTP/1.1\r\nHost: g\r\n\r\n" * 2000),
    "large heads": (b"", (HEALTH[:-2] + b"a: %b\r\n" % (b"b" * 150) * 90 + b"\r\n") * 300),
    "small chunks": (b"", CHUNKED + b"1\r\n \r\n" * (MIB // 6)),
    "small chunks that nobody reads": (b"", CHUNKED.replace(b"admin", b"nobody") + b"1\r\n \r\n" * (MIB // 6)),
    "small chunks of a question": (b"", HEALTH[:-2] + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * MIB),
}


@pytest_asyncio.fixture(name="door")
async def running() -> AsyncIterator[Door]:
    async with serving(make=StoringDoor) as door:
        yield door


async def flood(wire: Wire, data: bytes) -> None:
    """Send it, and take what is answered, until the other side hangs up."""

    async def take() -> None:
        with suppress(ConnectionError):
            while await wire.some():
                pass

    taking = asyncio.create_task(take(), name="taking")
    with suppress(ConnectionError):
        for start in range(0, len(data), 65_536):
            wire.put(data[start : start + 65_536])
            await wire.drained()
    await taking


@pytest.mark.parametrize("name", ATTACKS)
async def test_health_is_told_meanwhile(door: Door, name: str) -> None:
    opening, data = ATTACKS[name]
    attacker, prober = await door.raw(), await door.raw()
    if opening:
        await attacker.send(opening)
        assert (await attacker.answer()).status == 101
    await prober.send(HEALTH)
    assert (await prober.answer()).status == 200
    async with watching() as watch:
        attack = asyncio.create_task(flood(attacker, data), name="attack")
        for _ in range(CHECKS):
            await prober.send(HEALTH)
            assert (await prober.answer()).status == 200
    attack.cancel()
    await asyncio.wait([attack])
    attacker.abort()
    await prober.close()
    assert watch.longest_secs < MOST_SECS


async def test_a_flood_of_scrapes_is_answered_and_costs_little(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    rendered = []
    render = exposition.render

    def counting(*, counters: bool = False) -> list[exposition.Rendered]:
        rendered.append(counters)
        return render(counters=counters)

    monkeypatch.setattr(exposition, "render", counting)
    scrape = b"GET /metrics HTTP/1.1\r\nHost: g\r\n\r\n"

    async def scrapes(wire: Wire) -> None:
        for _ in range(10):
            await wire.send(scrape)
            assert (await wire.answer()).body.startswith(b"# HELP")
        await wire.close()

    wires = [await door.raw() for _ in range(40)]
    began = time.process_time()
    async with watching() as watch, asyncio.TaskGroup() as group:
        for wire in wires:
            group.create_task(scrapes(wire), name="scrapes")
    spent = time.process_time() - began
    assert 1 <= len(rendered) <= 100  # of 400
    assert watch.longest_secs < spent / 5
