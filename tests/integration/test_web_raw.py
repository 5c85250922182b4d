"""Requests as no well-behaved client sends them: a 4xx, and the connection is usable or closed. Over raw sockets."""

import asyncio
from collections.abc import AsyncIterator

import orjson
import pytest
import pytest_asyncio

from gateway.core.errors import BadPayload, Overloaded
from gateway.core.settings import HttpSettings
from tests.integration.tight import BODY, CAP, LIMITS, code_of
from tests.integration.web_server import Door, serving
from tests.integration.web_wire import Wire, head


@pytest_asyncio.fixture(name="door")
async def running() -> AsyncIterator[Door]:
    async with serving(LIMITS) as door:
        yield door


async def test_a_body_in_pieces_arrives_whole(door: Door, wire: Wire) -> None:
    await wire.send(head("/v1/readings", f"Content-Length: {len(BODY)}"))
    await wire.send(BODY[:7])
    await wire.send(BODY[7:])
    assert (await wire.answer()).status == 200
    assert door.intake.taken[0].body == BODY


async def test_an_answer_says_nothing_that_nobody_asked_for(door: Door, wire: Wire) -> None:
    for request in (
        head("/v1/readings", f"Content-Length: {len(BODY)}") + BODY,
        b"DELETE /livez HTTP/1.1\r\nHost: g\r\n\r\n",
    ):
        await wire.send(request)
        fields = (await wire.answer()).headers
        assert {*fields} - {"allow"} == {"x-request-id", "content-length", "connection", "content-type"}
    assert door.intake.taken


async def test_a_chunked_body_arrives_whole(door: Door, wire: Wire) -> None:
    await wire.send(head("/v1/readings", "Transfer-Encoding: chunked"))
    await wire.send(b"5\r\n" + BODY[:5] + b"\r\n%x;ext=1\r\n" % (len(BODY) - 5) + BODY[5:] + b"\r\n0\r\n\r\n")
    assert (await wire.answer()).status == 200
    assert door.intake.taken[0].body == BODY
    assert (await wire.post(BODY)).status == 200


async def test_pipelined_requests_are_answered_in_order(door: Door, wire: Wire) -> None:
    one = head("/v1/readings", "Content-Length: 1", "X-Request-Id: one") + b"1"
    two = head("/v1/readings", "Content-Length: 1", "X-Request-Id: two") + b"2"
    await wire.send(one + two)
    assert [(await wire.answer()).headers["x-request-id"] for _ in range(2)] == ["one", "two"]
    assert [taken.body for taken in door.intake.taken] == [b"1", b"2"]


@pytest.mark.parametrize("declared", ["Content-Length: 50", "Transfer-Encoding: chunked"])
async def test_a_body_that_does_not_come_is_408_and_the_end(door: Door, wire: Wire, declared: str) -> None:
    await wire.send(head("/v1/readings", declared) + (b"2\r\nab\r\n" if "chunked" in declared else b"ab"))
    answer = await wire.answer()
    assert (answer.status, code_of(answer.body)) == (408, "body_timeout")
    assert orjson.loads(answer.body)["limit"] == "http.body_deadline_secs"
    assert answer.headers["connection"] == "close"
    assert not door.intake.taken
    assert door.context.bodies.inflight_bytes == 0


async def test_a_body_longer_than_declared_is_taken_as_declared(door: Door, wire: Wire) -> None:
    await wire.send(head("/v1/readings", "Content-Length: 2") + b"{}garbage\r\n\r\n")
    assert (await wire.answer()).status == 200
    assert door.intake.taken[0].body == b"{}"
    assert (await wire.answer()).status == 400
    assert await wire.is_closed()


async def test_a_declared_length_over_the_cap_is_413_before_a_byte_is_sent(door: Door, wire: Wire) -> None:
    await wire.send(head("/v1/readings", f"Content-Length: {CAP + 1}"))
    answer = await wire.answer()
    problem = orjson.loads(answer.body)
    assert (answer.status, problem["code"]) == (413, "too_large")
    assert (problem["limit"], problem["value"]) == ("http.max_body_bytes", CAP)
    assert answer.headers["connection"] == "close"


async def test_the_answer_to_a_body_over_the_cap_is_read_after_all_of_it_is_sent(wire: Wire) -> None:
    size = 2_000_000
    await wire.send(head("/v1/readings", f"Content-Length: {size}"))
    for _ in range(20):
        await wire.send(b" " * (size // 20))
    assert (await wire.answer()).status == 413
    assert await wire.is_closed()


async def test_a_chunked_body_over_the_cap_is_413(door: Door, wire: Wire) -> None:
    await wire.send(head("/v1/readings", "Transfer-Encoding: chunked"))
    for _ in range(CAP // 100 + 1):
        await wire.send(b"64\r\n" + b" " * 100 + b"\r\n")
    answer = await wire.answer()
    assert (answer.status, code_of(answer.body)) == (413, "too_large")
    assert orjson.loads(answer.body)["limit"] == "http.max_body_bytes"
    assert not door.intake.taken


async def test_a_chunk_declared_over_the_cap_is_413(wire: Wire) -> None:
    await wire.send(head("/v1/readings", "Transfer-Encoding: chunked") + b"ffffff\r\n")
    answer = await wire.answer()
    assert (answer.status, code_of(answer.body)) == (413, "too_large")
    assert orjson.loads(answer.body)["limit"] == "http.max_body_bytes"


async def test_exactly_the_cap_is_taken(door: Door, wire: Wire) -> None:
    assert (await wire.post(b" " * CAP)).status == 200
    assert len(door.intake.taken[0].body) == CAP


async def test_expect_continue_is_answered_by_what_will_happen(door: Door, wire: Wire) -> None:
    await wire.send(head("/v1/readings", f"Content-Length: {len(BODY)}", "Expect: 100-continue"))
    assert (await wire.answer()).status == 100
    await wire.send(BODY)
    assert (await wire.answer()).status == 200
    await wire.send(head("/v1/readings", f"Content-Length: {CAP + 1}", "Expect: 100-continue"))
    assert (await wire.answer()).status == 413


@pytest.mark.parametrize(
    ("lines", "body", "status", "code"),
    [
        (["Content-Length: -1"], b"", 400, "bad_request"),
        (["Content-Length: 1x"], b"1", 400, "bad_request"),
        (["Content-Length: 1", "Content-Length: 2"], b"12", 400, "bad_request"),
        (["Content-Length: 1", "Transfer-Encoding: chunked"], b"1", 400, "bad_request"),
        (["Transfer-Encoding: chunked"], b"zz\r\n", 400, "bad_request"),
        (["Transfer-Encoding: chunked"], b"-5\r\n", 400, "bad_request"),
        (["Expect: 200-ok", "Content-Length: 1"], b"1", 417, "expectation_failed"),
        (["no colon here"], b"", 400, "bad_request"),
        (["X-Long: " + "x" * 20_000], b"", 431, "headers_too_large"),
    ],
)
async def test_broken_requests(wire: Wire, lines: list[str], body: bytes, status: int, code: str) -> None:
    await wire.send(head("/v1/readings", *lines) + body)
    answer = await wire.answer()
    assert (answer.status, code_of(answer.body)) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"]


@pytest.mark.parametrize(
    "line",
    [b"Authorization: Bearer \xff\xfe", b"Authorization: Bearer \x00", b"Content-Type: \xff", b"X-Request-Id: \xff"],
)
async def test_header_bytes_outside_ascii_never_fail(wire: Wire, line: bytes) -> None:
    start = b"POST /v1/readings HTTP/1.1\r\nHost: x\r\n" + line + b"\r\nContent-Length: 0\r\n\r\n"
    await wire.send(start)
    assert 400 <= (await wire.answer()).status < 500


@pytest.mark.parametrize("end", ["\n", "\r", "\0", "\x0b"])
async def test_a_request_id_cannot_add_headers(wire: Wire, end: str) -> None:
    await wire.send(head("/v1/readings", "Content-Length: 2", f"X-Request-Id: a{end}Set-Cookie: b") + b"{}")
    answer = await wire.answer()
    assert answer.status == 400
    assert "set-cookie" not in answer.headers
    assert end not in answer.headers["x-request-id"]
    assert await wire.is_closed()


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("http://x", 405),
        ("http://x?y", 405),
        ("http://x/livez", 405),
        ("*", 405),
        ("//v1/readings", 404),
        ("x:443", 400),
        ("?", 400),
        ("/\x00", 400),
        ("http://[::1", 400),
        ("/v1/devices/%/readings", 422),
    ],
)
async def test_any_address_is_answered(wire: Wire, address: str, status: int) -> None:
    await wire.send(head(address, "Content-Length: 0"))
    answer = await wire.answer()
    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "start", [b"\x16\x03\x01\x02\x00\x01\r\n\r\n", b"GET / HTTP/3.0\r\n\r\n", b"\r\n:\r\n\r\n", b"A\r\n\r\n"]
)
async def test_what_is_not_http_is_400(wire: Wire, start: bytes) -> None:
    await wire.send(start)
    assert (await wire.answer()).status == 400
    assert await wire.is_closed()


@pytest.mark.parametrize(
    "start",
    [
        b"GET /\xff\xfe HTTP/1.1\r\nHost: x",
        b"\xff / HTTP/1.1\r\nHost: x",
        b"GET / HTTP/1.1\r\nHost: \xff",
        b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Forwarded-Host: \xff\r\nForwarded: host=\xff\r\nConnection: close",
    ],
)
async def test_bytes_beyond_ascii_are_answered_with_an_access_log_too(start: bytes) -> None:
    async with serving(HttpSettings(drain_secs=0, grace_secs=1, access_log=True)) as door:
        wire = await door.raw()
        await wire.send(start + b"\r\n\r\n")
        assert (await wire.answer()).status == (200 if b"livez" in start else 400)
        assert await wire.is_closed()
        await wire.close()


# -- the connection after an error -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (head("/v1/readings", f"Content-Length: {len(BODY)}", token="wrong") + BODY, 401),
        (head("/v1/readings", f"Content-Length: {len(BODY)}", token="reader") + BODY, 403),
        (head("/nowhere", f"Content-Length: {len(BODY)}") + BODY, 404),
        (head("/livez", f"Content-Length: {len(BODY)}") + BODY, 405),
        (head("/v1/readings", "Content-Type: text/csv", f"Content-Length: {len(BODY)}") + BODY, 415),
        (head("/v1/readings", "Content-Encoding: br", f"Content-Length: {len(BODY)}") + BODY, 415),
        (head("/v1/readings", "Content-Encoding: gzip", f"Content-Length: {len(BODY)}") + BODY, 400),
        (head("/v1/readings?x=1", f"Content-Length: {len(BODY)}") + BODY, 422),
    ],
)
async def test_the_connection_is_used_again_after_an_error(wire: Wire, request_bytes: bytes, status: int) -> None:
    for _ in range(2):
        await wire.send(request_bytes)
        answer = await wire.answer()
        assert (answer.status, answer.headers["connection"]) == (status, "keep-alive")
    assert (await wire.post(BODY)).status == 200


@pytest.mark.parametrize(("exc", "status"), [(BadPayload(), 400), (Overloaded(), 503), (RuntimeError("x"), 500)])
async def test_the_connection_is_used_again_after_intake_refused(
    door: Door, wire: Wire, exc: Exception, status: int
) -> None:
    door.intake.fail(exc)
    for _ in range(3):
        answer = await wire.post(BODY)
        assert (answer.status, answer.headers["connection"]) == (status, "keep-alive")


async def test_a_client_that_leaves_amid_its_body_gives_its_bytes_back(door: Door, wire: Wire) -> None:
    await wire.send(head("/v1/readings", "Content-Length: 900") + b"x" * 500)
    async with asyncio.timeout(10):
        while not door.context.bodies.inflight_bytes:
            assert (await door.client.get("/livez")).status_code == 200
        await wire.close()
        while door.context.bodies.inflight_bytes:
            assert (await door.client.get("/livez")).status_code == 200
    assert not door.intake.taken


# -- compressed bodies -------------------------------------------------------------------------------------------------
