"""Whoever holds a seat and says nothing holds it for itself: a device is in, and each wait ends in time."""

import asyncio
from collections.abc import AsyncIterator

import orjson
import pytest
import pytest_asyncio

from gateway.core.settings import HttpSettings
from gateway.telemetry import prometheus
from gateway.web.limits import body_budget
from tests.integration.tight import code_of
from tests.integration.twin_doors import StoringDoor
from tests.integration.web_server import Door, serving
from tests.integration.web_wire import Wire, head

SEATS = 8
BODY = b'{"device":"d1","ts":1732277000123,"values":{"t":1.5}}'
POST = head("/v1/readings", f"Content-Length: {len(BODY)}") + BODY
PROBE = b"GET /livez HTTP/1.1\r\nHost: g\r\n\r\n"
SHORT = 0.3
"""A deadline, in seconds."""
PAUSE = SHORT / 10


@pytest_asyncio.fixture(name="door", params=[Door, StoringDoor], ids=["asked", "at once"])
async def few_seats(request: pytest.FixtureRequest) -> AsyncIterator[Door]:
    http = HttpSettings(drain_secs=0, grace_secs=1, max_connections=SEATS)
    async with serving(http, make=request.param) as door:
        yield door


@pytest_asyncio.fixture(name="hasty")
async def short_deadlines() -> AsyncIterator[Door]:
    http = HttpSettings(drain_secs=0, grace_secs=1, head_deadline_secs=SHORT, keep_alive_secs=SHORT)
    async with serving(http) as door:
        yield door


def cut_off(limit: str) -> float:
    return float(prometheus.http_cut_off[(limit,)]._value.get())


async def trickle(wire: Wire, data: bytes) -> None:
    """Send a byte now and then, until the other side has had enough."""
    try:
        for byte in data:
            await wire.send(bytes([byte]))
            await asyncio.sleep(PAUSE)
    except ConnectionError:
        pass


async def test_a_device_is_in_while_others_fill_the_seats(door: Door) -> None:
    slow = [await door.raw() for _ in range(SEATS)]
    for wire in slow:
        await wire.send(POST[:30])
    devices = [await door.raw() for _ in range(3)]
    for device in devices:
        assert (await device.post(BODY)).status == 200
    told = [await wire.answer() for wire in slow[:3]]
    assert [(answer.status, code_of(answer.body)) for answer in told] == [(503, "too_many_connections")] * 3
    more = [await door.raw() for _ in range(2 * SEATS)]  # they take each other's seats
    for wire in more:
        await wire.send(POST[:1])
    for device in devices:
        assert (await device.post(BODY)).status == 200
    assert len(door.connections) <= SEATS + 1
    for wire in (*slow, *devices, *more):
        await wire.close()


async def test_who_has_been_answered_and_is_idle_yields_without_a_word(door: Door) -> None:
    idle = [await door.raw() for _ in range(SEATS)]
    for wire in idle:
        await wire.send(PROBE)
        assert (await wire.answer()).status == 200
    device = await door.raw()
    assert (await device.post(BODY)).status == 200
    assert await idle[0].is_closed()
    for wire in (*idle, device):
        await wire.close()


async def test_one_address_has_a_share_of_the_seats() -> None:
    http = HttpSettings(drain_secs=0, grace_secs=1, max_connections=SEATS, max_connections_per_address=2)
    async with serving(http) as door:
        devices = [await door.raw() for _ in range(2)]
        for device in devices:
            assert (await device.post(BODY)).status == 200
        third = await door.raw()
        await third.send(POST)
        answer = await third.answer()
        problem = orjson.loads(answer.body)
        assert (answer.status, problem["code"]) == (429, "too_many_from_address")
        assert (problem["limit"], problem["value"]) == ("http.max_connections_per_address", 2)
        assert int(answer.headers["retry-after"]) >= 1
        for wire in (*devices, third):
            await wire.close()


async def test_a_proxy_that_is_believed_has_as_many_as_it_needs() -> None:
    http = HttpSettings(drain_secs=0, grace_secs=1, max_connections_per_address=1, proxies="127.0.0.0/8")
    async with serving(http) as door:
        wires = [await door.raw() for _ in range(3)]
        for wire in wires:
            assert (await wire.post(BODY)).status == 200
        for wire in wires:
            await wire.close()


# -- deadlines ---------------------------------------------------------------------------------------------------------


async def test_a_head_that_trickles_is_408(hasty: Door) -> None:
    before = cut_off("http.head_deadline_secs")
    wire = await hasty.raw()
    sending = asyncio.create_task(trickle(wire, POST))
    answer = await wire.answer()
    problem = orjson.loads(answer.body)
    assert (answer.status, problem["code"], problem["limit"]) == (408, "request_timeout", "http.head_deadline_secs")
    assert (problem["value"], answer.headers["connection"]) == (SHORT, "close")
    assert await wire.is_closed()
    sending.cancel()
    await wire.close()
    assert not hasty.intake.taken
    assert cut_off("http.head_deadline_secs") == before + 1


@pytest.mark.parametrize("said", [b"", b"\r\n" * 50], ids=["nothing", "empty lines"])
@pytest.mark.parametrize("served", [False, True])
async def test_who_says_nothing_is_hung_up_on(hasty: Door, said: bytes, *, served: bool) -> None:
    limit = "http.keep_alive_secs" if served else "http.head_deadline_secs"
    before = cut_off(limit)
    wire = await hasty.raw()
    if served:
        assert (await wire.post(BODY)).status == 200
    sending = asyncio.create_task(trickle(wire, said))
    assert await wire.is_closed()
    sending.cancel()
    await wire.close()
    assert cut_off(limit) == before + 1


async def test_who_goes_on_asking_is_served_on() -> None:
    http = HttpSettings(drain_secs=0, grace_secs=1, head_deadline_secs=SHORT, keep_alive_secs=SHORT)
    async with serving(http, make=StoringDoor) as door:
        wire = await door.raw()
        for _ in range(12):
            assert (await wire.post(BODY)).status == 200
            await asyncio.sleep(PAUSE)
        await wire.close()


async def test_a_body_that_trickles_is_408_before_its_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_budget, "SLOW_SECS", SHORT)
    async with serving(HttpSettings(drain_secs=0, grace_secs=1, body_min_bytes_per_sec=1000)) as door:
        for framing, start in (("Content-Length: 5000", b""), ("Transfer-Encoding: chunked", b"fff\r\n")):
            wire = await door.raw()
            await wire.send(head("/v1/readings", framing) + start)
            sending = asyncio.create_task(trickle(wire, b" " * 400))
            answer = await wire.answer()
            problem = orjson.loads(answer.body)
            assert (answer.status, problem["code"]) == (408, "body_timeout")
            assert (problem["limit"], problem["value"]) == ("http.body_min_bytes_per_sec", 1000)
            sending.cancel()
            await wire.close()
        assert door.context.bodies.inflight_bytes == 0


async def test_a_body_that_is_fast_enough_has_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_budget, "SLOW_SECS", PAUSE)
    async with serving(HttpSettings(drain_secs=0, grace_secs=1, body_min_bytes_per_sec=100)) as door:
        wire = await door.raw()
        await wire.send(head("/v1/readings", "Content-Length: 1000"))
        for _ in range(10):
            await wire.send(b" " * 100)
            await asyncio.sleep(PAUSE)
        assert (await wire.answer()).status == 200
        await wire.close()
