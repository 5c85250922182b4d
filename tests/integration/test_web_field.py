"""What clients of the field send, as RFC 9112 lets them: println's empty lines, HTTP/1.0, trailers, HEAD."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

import pytest
import pytest_asyncio
from sanic.server.protocols.websocket_protocol import WebSocketProtocol

from gateway.core.errors import SinkUnavailable
from gateway.core.settings import Settings
from gateway.domain.history import HistoryRow, Order
from gateway.web.app import create_app
from gateway.web.server.chunks import MAX_TRAILER_BYTES
from gateway.web.server.protocol import Connection
from gateway.web.server.sanic_http import MAX_EMPTY_BYTES
from tests.integration.tight import BODY, LIMITS
from tests.integration.twin_doors import SanicConnection, StoringDoor
from tests.integration.web_server import Door, serving
from tests.integration.web_wire import Wire, head

POST = head("/v1/readings", f"Content-Length: {len(BODY)}")
CHUNKS = b"%x\r\n%b\r\n" % (len(BODY), BODY)
READING = b'{"device":"d1","ts":1732277000123,"values":{"t":1.5}}'


@pytest_asyncio.fixture(name="door", params=[Connection, SanicConnection], ids=["ours", "sanic"])
async def running(request: pytest.FixtureRequest) -> AsyncIterator[Door]:
    assert issubclass(request.param, WebSocketProtocol)
    async with serving(LIMITS, protocol=request.param) as door:
        yield door


@pytest.mark.parametrize("end", [b"\r\n", b"\n", b"\r\n\r\n", b"\r\n" * 20])
@pytest.mark.parametrize("apart", [False, True])
async def test_empty_lines_after_a_body_cost_nothing(door: Door, wire: Wire, end: bytes, *, apart: bool) -> None:
    for _ in range(5):
        for piece in (POST + BODY, end) if apart else (POST + BODY + end,):
            await wire.send(piece)
        assert (await wire.answer()).status == 200
    assert [taken.body for taken in door.intake.taken] == [BODY] * 5


async def test_empty_lines_on_the_short_way_too() -> None:
    request = (
        b"POST /v1/readings HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer admin\r\nContent-Length: %d\r\n\r\n"
        % len(READING)
    )
    async with serving(LIMITS, make=StoringDoor) as door:
        assert isinstance(door, StoringDoor)
        wire = Wire(*await asyncio.open_connection("127.0.0.1", door.port))
        for sent in range(1, 6):
            await wire.send(request + READING)
            assert (await wire.answer()).status == 200
            await wire.send(b"\r\n")
            if sent == 1:
                await wire.send(b"\r\n" + request)  # the head alone, behind empty lines
                await wire.send(READING)
                assert (await wire.answer()).status == 200
        assert door.taken_at_once >= 4, "an empty line sends no later request the long way"
        await wire.close()


async def test_a_connection_that_sends_empty_lines_alone_is_idle(door: Door, wire: Wire) -> None:
    await wire.send(POST + BODY + b"\r\n")
    assert (await wire.answer()).status == 200
    for connection in door.connections:
        assert connection.close_if_idle()
    assert await wire.is_closed()


async def test_a_flood_of_empty_lines_is_400(wire: Wire) -> None:
    await wire.send(b"\r\n" * MAX_EMPTY_BYTES)
    assert (await wire.answer()).status == 400
    assert await wire.is_closed()


@pytest.mark.parametrize("coding", ["Chunked", "CHUNKED", "chunked ", "\tchunked"])
async def test_a_coding_is_read_in_any_case(door: Door, wire: Wire, coding: str) -> None:
    for _ in range(2):
        await wire.send(head("/v1/readings", f"Transfer-Encoding:{coding}") + CHUNKS + b"0\r\n\r\n")
        assert (await wire.answer()).status == 200
    assert [taken.body for taken in door.intake.taken] == [BODY, BODY]


@pytest.mark.parametrize("trailers", [b"Checksum: abc\r\n", b"a: 1\r\nB: 2\r\n", b"x:\r\n"])
@pytest.mark.parametrize("size", [b"0", b"000", b"0;ext=1"])
async def test_trailers_are_read_in_any_pieces(door: Door, wire: Wire, trailers: bytes, size: bytes) -> None:
    chunked = head("/v1/readings", "Transfer-Encoding: chunked")
    end = size + b"\r\n" + trailers + b"\r\n"
    await wire.send(chunked + CHUNKS + end)
    assert (await wire.answer()).status == 200
    await wire.send(chunked + CHUNKS)
    for byte in end:
        await wire.send(bytes([byte]))
    assert (await wire.answer()).status == 200
    assert [taken.body for taken in door.intake.taken] == [BODY, BODY]


@pytest.mark.parametrize(
    "trailers", [b"no colon\r\n", b" folded: 1\r\n", b"a : 1\r\n", b"x: %b\r\n" % (b"y" * MAX_TRAILER_BYTES)]
)
async def test_what_is_no_trailer_is_400_and_the_end(door: Door, wire: Wire, trailers: bytes) -> None:
    await wire.send(head("/v1/readings", "Transfer-Encoding: chunked") + CHUNKS + b"0\r\n" + trailers + b"\r\n")
    assert (await wire.answer()).status == 400
    assert await wire.is_closed()
    assert not door.intake.taken


@pytest.mark.parametrize("size", [b"0x%x", b"+%x", b"%x_0", b"%x x", b"\xef\xbc\x90%x"])
async def test_what_is_no_size_of_a_chunk_is_400_and_the_end(door: Door, wire: Wire, size: bytes) -> None:
    await wire.send(
        head("/v1/readings", "Transfer-Encoding: chunked") + size % len(BODY) + b"\r\n" + BODY + b"\r\n0\r\n\r\n"
    )
    assert (await wire.answer()).status == 400
    assert await wire.is_closed()
    assert not door.intake.taken


async def test_a_chunk_longer_than_it_says_is_400_and_the_end(door: Door, wire: Wire) -> None:
    longer = CHUNKS.replace(b"\r\n", b"\r\nxx", 1)
    await wire.send(head("/v1/readings", "Transfer-Encoding: chunked") + longer + b"0\r\n\r\n")
    assert (await wire.answer()).status == 400
    assert await wire.is_closed()
    assert not door.intake.taken


async def test_a_request_behind_trailers_is_not_part_of_them(door: Door, wire: Wire) -> None:
    await wire.send(head("/v1/readings", "Transfer-Encoding: chunked") + CHUNKS + b"0\r\na: b\r\n\r\n" + POST + BODY)
    assert [(await wire.answer()).status for _ in range(2)] == [200, 200]
    assert len(door.intake.taken) == 2


class Exported:
    """History of three parts, which fails behind them or not."""

    def __init__(self, error: Exception | None = None) -> None:
        self._error = error
        self.lists = 0

    async def stream(self, *_: object, order: Order, **__: object) -> AsyncGenerator[list[HistoryRow], None]:
        for second in range(3):
            self.lists += 1
            yield [HistoryRow("d1", order.span.start_us + second, {"t": 1.5})]
        if self._error is not None:
            raise self._error


@pytest.mark.parametrize("accept", ["application/x-ndjson", "text/csv"])
async def test_http_1_0_gets_no_chunks(door: Door, accept: str) -> None:
    door.context.stored = Exported()  # type: ignore[assignment]
    path = "/v1/devices/d1/readings?from=2020-01-01T00:00:00Z&to=2020-01-02T00:00:00Z"
    whole = (await door.client.get(path, headers={"Accept": accept})).content
    answer = await _whole(door, f"GET {path} HTTP/1.0\r\nAccept: {accept}\r\n")
    said, _, body = answer.partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in said
    assert b"connection: close" in said
    assert body == whole
    assert body.count(b"\n") >= 3


async def test_an_http_1_0_answer_that_fails_does_not_look_complete(door: Door) -> None:
    door.context.stored = Exported(SinkUnavailable())  # type: ignore[assignment]
    with pytest.raises(ConnectionResetError):
        await _whole(door, "GET /v1/devices/d1/readings HTTP/1.0\r\nAccept: text/csv\r\n")


async def test_head_of_an_export_reads_no_more_than_it_must(door: Door) -> None:
    door.context.stored = exported = Exported()  # type: ignore[assignment]
    answer = await _whole(door, "HEAD /v1/devices/d1/readings HTTP/1.1\r\nAccept: text/csv\r\nConnection: close\r\n")
    said, _, body = answer.partition(b"\r\n\r\n")
    assert said.startswith(b"HTTP/1.1 200")
    assert b"content-type: text/csv" in said
    assert not body
    assert exported.lists == 1


async def test_http_1_0_is_not_told_to_continue(door: Door) -> None:
    more = f"Content-Length: {len(BODY)}\r\nExpect: 100-continue\r\n"
    answer = await _whole(door, f"POST /v1/readings HTTP/1.0\r\n{more}", BODY)
    assert answer.startswith(b"HTTP/1.1 200")


def test_head_is_answered_wherever_get_is() -> None:
    app = create_app(Settings(), lambda *_: pytest.fail("not started"))
    app.router.finalize()
    with_get = [route for route in app.router.routes if "GET" in route.methods]
    assert len(with_get) > 20
    assert [route.path for route in with_get if "HEAD" not in route.methods] == []


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize(("path", "fields"), [("/v1/stream", ""), ("/v1/devices/d1/readings", "Accept: text/csv\r\n")])
async def test_head_of_what_is_streamed_says_no_length_and_ends_well(
    door: Door, path: str, fields: str, version: str, caplog: pytest.LogCaptureFixture
) -> None:
    door.context.stored = Exported()  # type: ignore[assignment]
    answer = await _whole(door, f"HEAD {path} HTTP/{version}\r\n{fields}Connection: close\r\n")
    said, _, body = answer.partition(b"\r\n\r\n")
    assert said.startswith(b"HTTP/1.1 200")
    assert b"content-length" not in said
    assert not body
    assert [record.message for record in caplog.records if record.name.startswith("sanic")] == []


@pytest.mark.parametrize("path", ["/v1/stream", "/v1/devices/d1/state", "/livez", "/v1/ws", "/v1/nothing"])
async def test_head_says_what_get_says_without_a_body(door: Door, path: str) -> None:
    said, _, body = (await _whole(door, f"HEAD {path} HTTP/1.1\r\nConnection: close\r\n")).partition(b"\r\n\r\n")
    async with door.client.stream("GET", path) as got:
        assert said.startswith(b"HTTP/1.1 %d" % got.status_code)
    assert not body


async def _whole(door: Door, start: str, body: bytes = b"") -> bytes:
    """All that is answered until the server ends the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(f"{start}Host: gateway\r\nAuthorization: Bearer admin\r\n\r\n".encode() + body)
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


async def test_white_space_behind_a_field_is_no_part_of_it(door: Door, wire: Wire) -> None:
    fields = (
        f"Content-Length: {len(BODY)} ",
        "Content-Type: application/json\t",
        "Idempotency-Key: k1 \t ",
        "X-Request-Id: r1\t",
    )
    for replayed in (None, "true"):
        await wire.send(head("/v1/readings", *fields, token="admin\t ") + BODY)
        answer = await wire.answer()
        assert (answer.status, answer.headers["x-request-id"]) == (200, "r1")
        assert answer.headers.get("idempotency-replayed") == replayed
    plain = head("/v1/readings", f"Content-Length: {len(BODY)}", "Idempotency-Key: k1")
    await wire.send(plain + BODY)
    assert (await wire.answer()).headers["idempotency-replayed"] == "true"
    assert [taken.body for taken in door.intake.taken] == [BODY]


async def test_white_space_behind_a_field_on_the_short_way() -> None:
    lines = (
        b"POST /v1/readings HTTP/1.1",
        b"Host: g",
        b"Authorization: Bearer admin\t",
        b"Content-Length: %d " % len(READING),
    )
    request = b"\r\n".join((*lines, b"X-Request-Id: r1 ", b"", READING))
    async with serving(LIMITS, make=StoringDoor) as door:
        assert isinstance(door, StoringDoor)
        wire = Wire(*await asyncio.open_connection("127.0.0.1", door.port))
        for _ in range(3):
            await wire.send(request)
            answer = await wire.answer()
            assert (answer.status, answer.headers["x-request-id"]) == (200, "r1")
        assert door.taken_at_once >= 2
        await wire.close()
