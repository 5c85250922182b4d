"""As many connections as may be are served; one more is told so and shown out, but for who asks how the gateway is."""

import asyncio
import resource
from collections.abc import AsyncIterator

import orjson
import pytest
import pytest_asyncio

from gateway.core.errors import Unauthorized
from gateway.core.settings import HttpSettings
from gateway.domain.contracts.ingest import HoldBack
from gateway.domain.principal import Principal
from gateway.telemetry import prometheus
from gateway.web.limits.connections import FILES_KEPT, STANDING, is_probe, seats
from tests.integration.web_server import Door, ScriptedAuthenticator, serving
from tests.integration.web_wire import Wire, head

BODY = b'{"device": "d1", "values": {"t": 1}}'
POST = head("/v1/readings", f"Content-Length: {len(BODY)}") + BODY
SEATS = 3
WAIT_SECS = 5.0


@pytest_asyncio.fixture(name="door")
async def running() -> AsyncIterator[Door]:
    async with serving(HttpSettings(drain_secs=0, grace_secs=1, max_connections=SEATS)) as door:
        yield door


@pytest_asyncio.fixture(name="seated")
async def full(door: Door) -> AsyncIterator[list[Wire]]:
    """Connections that take all seats, and have been served."""
    wires = [await door.raw() for _ in range(SEATS)]
    for wire in wires:
        assert (await wire.post(BODY)).status == 200
    yield wires
    for wire in wires:
        await wire.close()


async def opened(door: Door, count: int) -> None:
    async with asyncio.timeout(WAIT_SECS):
        while len(door.connections) != count:  # noqa: ASYNC110 - Sanic tells nobody
            await asyncio.sleep(0.002)


def turned_away() -> float:
    return float(prometheus.overloads[("http.max_connections",)]._value.get())


async def test_one_more_is_told_so_and_shown_out(door: Door, seated: list[Wire]) -> None:
    before = turned_away()
    wire = await door.raw()
    await wire.send(POST)
    answer = await wire.answer()
    problem = orjson.loads(answer.body)
    assert (answer.status, problem["code"]) == (503, "too_many_connections")
    assert (problem["limit"], problem["value"]) == ("http.max_connections", SEATS)
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["connection"] == "close"
    assert answer.headers["x-request-id"] == problem["request_id"]
    assert await wire.is_closed()
    await wire.close()
    assert turned_away() == before + 1
    assert len(door.intake.taken) == SEATS
    for one in seated:
        assert (await one.post(BODY)).status == 200


async def test_a_seat_that_is_left_is_taken(door: Door, seated: list[Wire]) -> None:
    await seated[0].close()
    await opened(door, SEATS - 1)
    wire = await door.raw()
    assert (await wire.post(BODY)).status == 200
    await wire.close()


async def test_a_large_body_does_not_drown_the_answer(door: Door, seated: list[Wire]) -> None:
    wire = await door.raw()
    size = 4 * 2**20
    await wire.send(head("/v1/readings", f"Content-Length: {size}") + b" " * size)
    assert (await wire.answer()).status == 503
    await wire.close()
    await opened(door, len(seated))


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics"])
async def test_probes_are_answered_all_the_same(door: Door, seated: list[Wire], path: str) -> None:
    wire = await door.raw()
    await wire.send(f"GET {path} HTTP/1.1\r\nHost: g\r\n\r\n".encode())
    assert (await wire.answer()).status == 200
    await wire.close()
    await opened(door, len(seated))


async def test_who_says_nothing_does_not_stand_for_ever(
    door: Door, seated: list[Wire], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.web.server.protocol.STANDING_SECS", 1.0)
    prober = await door.raw()
    await prober.send(b"GET /livez HTTP/1.1\r\nHost: g\r\n\r\n")
    assert (await prober.answer()).status == 200
    silent, told = await door.raw(), await door.raw()
    await told.send(POST)
    assert (await told.answer()).status == 503
    assert (await silent.answer()).status == 503
    for wire in (silent, prober, told):
        assert await wire.is_closed()
        await wire.close()
    await opened(door, len(seated))


async def test_when_too_many_stand_who_stood_longest_is_shown_out(door: Door, seated: list[Wire]) -> None:
    standing = [await door.raw() for _ in range(STANDING)]
    await opened(door, len(seated) + STANDING)
    probe = await door.raw()
    assert (await standing[0].answer()).status == 503
    assert await standing[0].is_closed()
    await opened(door, len(seated) + STANDING)
    await probe.send(b"GET /livez HTTP/1.1\r\nHost: g\r\n\r\n")
    assert (await probe.answer()).status == 200
    for wire in (*standing, probe):
        await wire.close()


async def test_who_stands_takes_no_seat(door: Door, seated: list[Wire]) -> None:
    standing = await door.raw()
    await opened(door, SEATS + 1)
    await seated[0].close()
    await opened(door, SEATS)
    wire = await door.raw()
    assert (await wire.post(BODY)).status == 200
    await wire.close()
    await standing.close()


async def test_the_number_of_connections_is_told(door: Door, seated: list[Wire]) -> None:
    await opened(door, len(seated))
    assert prometheus.http_connections._value.get() == len(seated)


@pytest.mark.parametrize(
    ("wanted", "files", "most"),
    [
        (10_000, 1_048_576, 10_000),
        (10_000, 4096, 4096 - FILES_KEPT),
        (10_000, 256, 64),
        (10_000, 1, 1),
        (50, 4096, 50),
        (10_000, resource.RLIM_INFINITY, 10_000),
    ],
)
def test_files_are_kept_for_everything_else(wanted: int, files: int, most: int) -> None:
    assert seats(wanted, files) == most


@pytest.mark.parametrize(
    ("data", "probes"),
    [
        (b"GET /livez HTTP/1.1\r\n", True),
        (b"HEAD /readyz HTTP/1.1\r\n", True),
        (b"GET /metrics?name[]=up HTTP/1.1\r\n", True),
        (b"GET /livezX HTTP/1.1\r\n", False),
        (b"GET /livez/ HTTP/1.1\r\n", False),
        (b"GET /metricsX?livez HTTP/1.1\r\n", False),
        (b"GET /livez", False),
        (b"GET /v1/devices HTTP/1.1\r\n", False),
        (b"POST /livez HTTP/1.1\r\n", False),
        (b"", False),
        (b"\x16\x03\x01", False),
    ],
)
def test_what_a_probe_is(data: bytes, probes: bool) -> None:
    assert is_probe(data) is probes


class PacedAuthenticator(ScriptedAuthenticator):
    """Holds every refusal back, for longer than anybody waits here."""

    async def authenticate(
        self, header: str | None, address: str = "", *, hold_back: HoldBack = asyncio.sleep
    ) -> Principal:
        try:
            return await super().authenticate(header, address)
        except Unauthorized:
            await hold_back(60)
            raise


@pytest.mark.parametrize("body", [b"", b"x" * 200_000])
async def test_who_waits_for_a_refusal_keeps_nobody_out(door: Door, body: bytes) -> None:
    door.context.authenticator = PacedAuthenticator()
    strangers = [await door.raw() for _ in range(SEATS)]
    for wire in strangers:
        await wire.send(head("/v1/readings", f"Content-Length: {max(1, len(body))}", token="nobody") + body)
    await opened(door, SEATS)
    async with asyncio.timeout(WAIT_SECS):
        while not all(one._held_back for one in door.connections):  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.002)
    admin = await door.raw()
    assert (await admin.post(BODY)).status == 200
    answer = await strangers[0].answer()
    assert (answer.status, answer.headers["connection"]) == (401, "close")
    await opened(door, SEATS)
    for wire in (*strangers, admin):
        await wire.close()
