"""Readers that ask and take nothing: what waits for them is bounded, they are cut off, and others are served."""

import asyncio
import logging
import math
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import orjson
import pytest

from gateway.core.settings import HttpSettings
from gateway.domain.model import Kind
from gateway.telemetry import prometheus
from gateway.web.limits import unread_answers
from gateway.web.limits.fair_turns import ANSWER_BYTES_EACH_TURN
from gateway.web.limits.unread_answers import PIECE_BYTES
from gateway.web.pages.api_docs import FILES, load
from gateway.web.server.sanic_http import Http1
from tests.integration.web_server import NOW_US, Door, known_state, serving
from tests.integration.web_wire import Wire, head

SWAGGER = b"GET /docs/swagger-ui.js HTTP/1.1\r\nHost: g\r\n\r\n"
STATE = b"GET /v1/devices/wide/state HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer admin\r\n\r\n"
HEALTH = b"GET /livez HTTP/1.1\r\nHost: g\r\n\r\n"
POST = head("/v1/readings", "Content-Length: 2") + b"{}"
STATES = orjson.dumps({"devices": ["wide"]})
ASK_STATES = head("/v1/states:query", "Content-Type: application/json", f"Content-Length: {len(STATES)}") + STATES
SMALL_WINDOW = 4096
MIB = 2**20
SOON = 10.0
LIMITS = HttpSettings(drain_secs=0, grace_secs=1)


@asynccontextmanager
async def open_door(limits: HttpSettings = LIMITS) -> AsyncIterator[Door]:
    async with serving(limits, sent_bytes=SMALL_WINDOW) as door:
        door.live.known["wide"] = known_state(
            "wide", {f"m{number}": (f"{number:0200}", NOW_US, Kind.TEXT) for number in range(5000)}
        )
        yield door


async def reader_of(door: Door, asked: bytes) -> Wire:
    """A connection with a small window that has asked, and reads only when told to."""
    plug = socket.socket()
    plug.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_WINDOW)
    plug.setblocking(False)
    await asyncio.get_running_loop().sock_connect(plug, ("127.0.0.1", door.port))
    reader, writer = await asyncio.open_connection(sock=plug, limit=SMALL_WINDOW)
    writer.write(asked)
    return Wire(reader, writer)


@asynccontextmanager
async def readers(door: Door, count: int, asked: bytes) -> AsyncIterator[list[Wire]]:
    async with AsyncExitStack() as stack:
        made = []
        for _ in range(count):
            wire = await reader_of(door, asked)
            stack.callback(wire.abort)
            made.append(wire)
        yield made


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(SOON):
        while not holds():  # noqa: ASYNC110 - a socket's buffer tells nobody
            await asyncio.sleep(0.005)


def waiting(door: Door) -> int:
    """Bytes that are in the hands of transports."""
    return sum(each.transport.get_write_buffer_size() for each in door.connections if each.transport is not None)


def cut_off(limit: str) -> float:
    return float(prometheus.http_cut_off[(limit,)]._value.get())


async def test_a_large_file_waits_in_pieces_however_many_ask_for_it() -> None:
    async with open_door() as door, readers(door, 40, SWAGGER):
        await until(lambda: len(door.context.unread._slow) == 40)
        assert waiting(door) <= 40 * PIECE_BYTES
        assert 0 < door.context.unread.bytes <= 40 * PIECE_BYTES  # the file stands in memory once
        assert (await door.client.get("/livez")).status_code == 200
    await until(lambda: not door.context.unread.bytes)


async def test_of_many_large_answers_a_few_pieces_begin_in_a_turn_of_the_loop() -> None:
    async with open_door() as door:
        async with readers(door, 100, b"") as wires:
            await until(lambda: len(door.connections) == 100)
            for wire in wires:
                wire.put(SWAGGER)
            grown, before = [0], 0
            async with asyncio.timeout(SOON):
                while len(door.context.unread._slow) < 100:
                    await asyncio.sleep(0)
                    now = door.context.unread.bytes
                    grown.append(now - before)
                    before = now
            assert max(grown) <= 2 * ANSWER_BYTES_EACH_TURN  # the other turn's may be written before we look
        await until(lambda: not door.context.unread.bytes)


@pytest.mark.parametrize("asked", [STATE, ASK_STATES], ids=["at once", "by Sanic"])
async def test_an_answer_of_ones_own_counts_whole_and_arrives_whole(asked: bytes) -> None:
    async with open_door() as door:
        whole = (await door.client.get("/v1/devices/wide/state")).content
        assert len(whole) > MIB
        async with readers(door, 1, asked) as [wire]:
            await until(lambda: door.context.unread.bytes > MIB)
            assert waiting(door) <= PIECE_BYTES
            answer = await wire.answer()
            told = orjson.loads(answer.body)
            assert told.get("states", {"wide": told})["wide"]["metrics"] == orjson.loads(whole)["metrics"]
            await until(lambda: not door.context.unread.bytes)
            await wire.send(SWAGGER)
            assert (await wire.answer()).body == load(*FILES["swagger-ui.js"]).plain


async def test_above_the_budget_who_waits_longest_is_cut_off() -> None:
    limits = HttpSettings(drain_secs=0, grace_secs=1, max_unread_bytes=MIB)
    before = cut_off("http.max_unread_bytes")
    async with open_door(limits) as door, readers(door, 64, SWAGGER) as wires:
        await until(lambda: cut_off("http.max_unread_bytes") > before)
        assert door.context.unread.bytes <= MIB
        assert (await door.client.get("/docs/swagger-ui.js")).content == load(*FILES["swagger-ui.js"]).plain
        first, last = wires[0], wires[-1]
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await first.answer()
        assert (await last.answer()).status == 200


async def test_a_large_answer_is_refused_while_others_are_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unread_answers, "GRACE_SECS", 3600)
    limits = HttpSettings(drain_secs=0, grace_secs=1, max_unread_bytes=2 * MIB)
    async with open_door(limits) as door, readers(door, 1, STATE):
        await until(lambda: door.context.unread.bytes > MIB)
        got = await door.client.post("/v1/states:query", json={"devices": ["wide"]})
        assert (got.status_code, got.json()["code"], got.json()["limit"]) == (
            503, "overloaded", "http.max_unread_bytes",
        )  # fmt: skip
        assert int(got.headers["retry-after"]) >= 1
        assert (await door.client.get("/docs/swagger-ui.js")).status_code == 200


@pytest.mark.parametrize("asked", [SWAGGER, STATE, ASK_STATES], ids=["a file", "at once", "by Sanic"])
async def test_who_takes_nothing_for_too_long_is_cut_off(asked: bytes) -> None:
    limits = HttpSettings(drain_secs=0, grace_secs=1, stall_secs=0.1)
    before = cut_off("http.stall_secs")
    async with open_door(limits) as door, readers(door, 1, asked):
        await until(lambda: cut_off("http.stall_secs") > before)
        await until(lambda: not door.context.unread.bytes)


@pytest.mark.parametrize(
    "asked", [SWAGGER, STATE, b"GET /livez HTTP/1.1\r\nHost: g\r\n\r\n"], ids=["file", "state", "livez"]
)
async def test_who_asks_on_and_on_and_reads_nothing_is_read_no_more(asked: bytes) -> None:
    async with open_door() as door, readers(door, 1, asked) as [wire]:
        wire.put(asked * 100_000)
        await until(lambda: door.context.unread.bytes)
        [connection] = [each for each in door.connections if each in door.context.unread._slow]
        held = len(connection.recv_buffer)
        assert not connection.transport.is_reading()
        for _ in range(50):
            await asyncio.sleep(0.002)
            assert len(connection.recv_buffer) <= held
        assert held < door.context.http.max_body_bytes
        assert not connection.transport.is_reading()


async def test_how_long_the_reader_of_a_stream_may_be_slow_is_for_live_to_say() -> None:
    async with open_door() as door:
        wire = await door.raw()
        await wire.send(b"GET /v1/stream HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer admin\r\n\r\n")
        assert (await wire.answer()).status == 200
        assert max(each.stall_secs for each in door.connections) == math.inf
        wire.abort()


async def test_who_hangs_up_before_a_large_answer_begins_is_nobodys_mistake(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    send_large = Http1._send_large

    async def gone(http: Http1, body: bytes) -> None:
        http.protocol.transport.abort()
        await send_large(http, body)

    monkeypatch.setattr(Http1, "_send_large", gone)
    monkeypatch.setattr(logging.getLogger("sanic.error"), "propagate", True)
    async with open_door() as door:
        async with readers(door, 1, SWAGGER) as [wire]:
            assert await wire.is_closed()
        await until(lambda: not door.connections)
        assert (await door.client.get("/livez")).status_code == 200
    assert not [record for record in caplog.records if record.name.startswith("sanic.error")]
