"""Bodies that nobody asked for, and what is sent ahead: counted, bounded, dropped, and never read as a request."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from gateway.core.settings import HttpSettings
from gateway.domain.contracts.ingest import HoldBack
from gateway.domain.principal import Principal
from gateway.telemetry import prometheus
from gateway.web.http.body import MAX_UNASKED_BYTES
from gateway.web.limits import dropped_bytes
from gateway.web.limits.body_budget import UNKNOWN_SHARE
from gateway.web.limits.connection_budget import FREE_BYTES
from gateway.web.server import bounded
from tests.integration.tight import code_of
from tests.integration.web_server import Door, ScriptedAuthenticator, serving
from tests.integration.web_wire import Wire, head

LARGE = 8 * 2**20
PIECE = b"x" * 100_000
BODY = b'{"device":"d1","metric":"t","value":1.5}'
HIDDEN = head("/v1/readings", f"Content-Length: {len(BODY)}") + BODY
ROOM = 400_000
"""Bytes that may be in hand."""


@pytest_asyncio.fixture(name="door")
async def running() -> AsyncIterator[Door]:
    async with serving() as door:
        yield door


def start(method: str, path: str, *lines: str, token: str = "admin") -> bytes:
    """The head of a request."""
    return "\r\n".join(
        (f"{method} {path} HTTP/1.1", "Host: g", f"Authorization: Bearer {token}", *lines, "", "")
    ).encode()


def in_memory(door: Door) -> int:
    """Bytes that were read and not served."""
    return sum(len(one.recv_buffer) for one in door.connections) + door.context.bodies.inflight_bytes


@pytest.mark.parametrize(
    ("method", "path", "token", "status"),
    [
        ("GET", "/livez", "", 413),
        ("HEAD", "/livez", "", 413),
        ("GET", "/metrics", "", 413),
        ("GET", "/", "", 413),
        ("GET", "/nowhere", "", 404),
        ("BREW", "/livez", "", 405),
        ("OPTIONS", "*", "", 405),
        ("GET", "/v1/devices/d1/state", "admin", 413),
        ("GET", "/v1/devices/d1/state", "nobody", 401),
        ("GET", "/v1/stream", "admin", 413),
        ("GET", "/v1/ws", "admin", 413),
        ("DELETE", "/v1/keys/1", "admin", 413),
        ("POST", "/v1/dead-letters:replay", "nobody", 401),
        ("POST", "/v1/readings", "nobody", 401),
        ("PUT", "/v1/metrics/t", "reader", 403),
    ],
)
async def test_a_large_body_is_not_kept(door: Door, method: str, path: str, token: str, status: int) -> None:
    wires = [await door.raw() for _ in range(4)]
    for wire in wires:
        await wire.send(start(method, path, f"Content-Length: {LARGE}", token=token) + PIECE)
        answer = await wire.answer() if method != "HEAD" else None
        if answer is not None:
            assert (answer.status, answer.headers["connection"]) == (status, "close")
            assert await wire.is_closed()
    for _ in range(5):
        for wire in wires:
            await wire.send(PIECE)
        assert (await door.client.get("/livez")).status_code == 200
        assert in_memory(door) == 0
    for wire in wires:
        await wire.close()


@pytest.mark.parametrize("framing", [f"Content-Length: {len(HIDDEN)}", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize("path", ["/livez", "/nowhere", "/v1/devices/d1/state"])
async def test_what_is_in_it_is_no_request(door: Door, path: str, framing: str) -> None:
    body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN) if "chunked" in framing else HIDDEN
    for together in (True, False):
        wire = await door.raw()
        await wire.send(start("GET", path, framing) + (body if together else b""))
        answer = await wire.answer()
        is_kept = answer.headers["connection"] == "keep-alive"
        assert is_kept == (together and "Length" in framing)
        if is_kept:
            await wire.send(start("GET", "/livez", "X-Request-Id: next"))
            assert (await wire.answer()).headers["x-request-id"] == "next"
        else:
            await wire.send(body)
            assert await wire.is_closed()
        await wire.close()
    assert not door.intake.taken


async def test_a_small_one_is_passed_over_and_a_larger_one_told_why(door: Door, wire: Wire) -> None:
    await wire.send(start("GET", "/livez", f"Content-Length: {MAX_UNASKED_BYTES}") + b" " * MAX_UNASKED_BYTES)
    assert (await wire.answer()).status == 200
    await wire.send(start("GET", "/livez", f"Content-Length: {MAX_UNASKED_BYTES + 1}"))
    answer = await wire.answer()
    assert (answer.status, code_of(answer.body)) == (413, "too_large")


async def test_who_goes_on_sending_is_hung_up_on(door: Door, wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "LINGER_BYTES", 3 * len(PIECE))
    await wire.send(start("GET", "/nowhere", f"Content-Length: {LARGE}"))
    assert (await wire.answer()).status == 404

    async def send_on() -> None:
        for _ in range(LARGE // len(PIECE)):
            await wire.send(PIECE)
            assert (await door.client.get("/livez")).status_code == 200

    with pytest.raises(ConnectionError):
        await send_on()


async def test_many_who_are_refused_are_read_in_turns_and_hear_why(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dropped_bytes, "AT_ONCE_BYTES", 0)
    before = prometheus.http_deferred._value.get()

    async def refused() -> int:
        wire = await door.raw()
        await wire.send(start("GET", "/nowhere", f"Content-Length: {2**20}") + bytes(2**20))
        status = (await wire.answer()).status
        assert await wire.is_closed()
        await wire.close()
        return status

    async with asyncio.timeout(20):
        assert await asyncio.gather(*(refused() for _ in range(30))) == [404] * 30
        while door.connections:  # noqa: ASYNC110 - Sanic tells nobody
            await asyncio.sleep(0.01)
    assert prometheus.http_deferred._value.get() > before


# -- what is sent ahead ------------------------------------------------------------------------------------------------


class MuteAuthenticator(ScriptedAuthenticator):
    """Never finds out about strangers."""

    async def authenticate(
        self, header: str | None, address: str = "", *, hold_back: HoldBack = asyncio.sleep
    ) -> Principal:
        if header is not None and "stranger" in header:
            await asyncio.Event().wait()
        return await super().authenticate(header, address, hold_back=hold_back)


@pytest_asyncio.fixture(name="tight")
async def with_little_room() -> AsyncIterator[Door]:
    async with serving(HttpSettings(drain_secs=0, grace_secs=1, max_inflight_bytes=ROOM)) as door:
        door.context.authenticator = MuteAuthenticator()
        yield door


async def test_strangers_have_a_part_of_the_room_together(tight: Door) -> None:
    before = prometheus.http_cut_off[("http.max_inflight_bytes",)]._value.get()
    wires = []
    for _ in range(12):
        wire = await tight.raw()
        wires.append(wire)
        await wire.send(start("POST", "/v1/readings", f"Content-Length: {LARGE}", token="stranger") + PIECE[:50_000])
        assert (await tight.client.get("/livez")).status_code == 200
        assert tight.context.bodies.unknown_bytes <= ROOM // UNKNOWN_SHARE
        assert in_memory(tight) <= 2 * ROOM // UNKNOWN_SHARE + 12 * FREE_BYTES
    assert prometheus.http_cut_off[("http.max_inflight_bytes",)]._value.get() > before
    device = await tight.raw()
    assert (await device.post(BODY)).status == 200
    await device.close()
    device = await tight.raw()  # its credential is known now, and is looked for before it is cut off
    assert (await device.post(b" " * (ROOM // 2))).status == 200
    for wire in (*wires, device):
        await wire.close()
    async with asyncio.timeout(10):
        while in_memory(tight) or tight.context.bodies.unknown_bytes:
            assert (await tight.client.get("/livez")).status_code == 200


async def test_who_becomes_known_counts_among_all(tight: Door) -> None:
    wire = await tight.raw()
    assert (await wire.post(BODY)).status == 200
    for _ in range(2):
        assert (await wire.post(b" " * (ROOM - 50_000))).status == 200
    assert (tight.context.bodies.unknown_bytes, tight.context.bodies.inflight_bytes) == (0, 0)
    await wire.close()


async def test_one_credential_has_half_for_bodies_that_do_not_end() -> None:
    http = HttpSettings(drain_secs=0, grace_secs=1, max_inflight_bytes=ROOM, max_body_bytes=ROOM // 2)
    async with serving(http) as door:
        await share_by_credential(door, ROOM // 2)


async def share_by_credential(tight: Door, size: int) -> None:
    slow = [await tight.raw() for _ in range(2)]
    for wire in slow:
        assert (await wire.post(BODY)).status == 200
        await wire.send(head("/v1/readings", f"Content-Length: {size}") + b" " * (size * 3 // 5))
    answer = await slow[1].answer()
    assert (answer.status, code_of(answer.body)) == (503, "overloaded")
    other = await tight.raw()
    await other.send(head("/v1/readings", f"Content-Length: {size}", token="d1"))
    await other.send(b" " * (size - 1))
    await other.send(b" ")
    assert (await other.answer()).status == 200
    await slow[0].send(b" " * (size - size * 3 // 5))
    assert (await slow[0].answer()).status == 200
    assert (tight.context.bodies.arriving, tight.context.bodies.inflight_bytes) == ({}, 0)
    for wire in (*slow, other):
        await wire.close()


async def test_a_body_for_which_there_is_no_room_is_503(tight: Door) -> None:
    wire = await tight.raw()
    assert (await wire.post(BODY)).status == 200
    await wire.send(head("/v1/readings", f"Content-Length: {LARGE // 2}") + b" ")
    async with asyncio.timeout(10):
        while tight.context.bodies.inflight_bytes != 1:
            assert (await tight.client.get("/livez")).status_code == 200
    tight.context.bodies.inflight_bytes += ROOM - 1000
    await wire.send(PIECE)
    answer = await wire.answer()
    assert (answer.status, code_of(answer.body)) == (503, "overloaded")
    assert await wire.is_closed()
    tight.context.bodies.inflight_bytes -= ROOM - 1000
    await wire.close()
    assert (tight.context.bodies.inflight_bytes, tight.context.bodies.arriving) == (0, {})


async def test_a_beginning_for_which_there_is_no_room_is_503(tight: Door) -> None:
    wire = await tight.raw()
    await wire.send(b"\r\n" + b"GET / HTTP/1.1\r\nA: ")
    tight.context.bodies.inflight_bytes += ROOM
    await wire.send(b"x" * (FREE_BYTES + 1))
    answer = await wire.answer()
    assert (answer.status, code_of(answer.body)) in {(503, "overloaded"), (431, "headers_too_large")}
    tight.context.bodies.inflight_bytes -= ROOM
    await wire.close()
