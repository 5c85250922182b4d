"""Heads: what one says, what is none, whose request may be answered at once, and that one that comes again says it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.web.server.head import CHUNKED, MAX_REMEMBERED, BadHead, Head, HeadParser

POST = b"POST /v1/readings HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer x\r\n"
STATE = b"GET /v1/devices/d1/state HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer x\r\n"


def direct(data: bytes) -> tuple[object, ...] | None:
    """What the head of a direct request says; None for any other."""
    head = HeadParser().peek(data)
    return None if head is None or head.direct is None else (head.direct, head.length, head.raw)


def test_a_head_is_read_whole() -> None:
    head = Head(b"PATCH /a?b=%20 HTTP/1.0\r\nHost:\tg\r\nX-Many: one\t \r\nX-Many: \xe9\r\nContent-Length: 07 \r\n\r\n")
    assert (head.method, head.target, head.version, head.length) == (b"PATCH", b"/a?b=%20", "1.0", 7)
    assert head.fields == [(b"host", b"g"), (b"x-many", b"one"), (b"x-many", b"\xe9"), (b"content-length", b"07")]


@pytest.mark.parametrize(
    ("field", "length"),
    [
        (b"Content-Length: 0", 0),
        (b"Transfer-Encoding: Chunked", CHUNKED),
        (b"Upgrade: h2c\r\nConnection: Upgrade", None),
    ],
)
@pytest.mark.parametrize("method", [b"GET", b"POST", b"CONNECT", b"PRI", b"brew", b"HEAD"])
def test_any_method_may_come_and_only_fields_frame_a_body(method: bytes, field: bytes, length: int | None) -> None:
    head = Head(b"%b / HTTP/1.1\r\nHost: g\r\n%b\r\n\r\n" % (method, field))
    assert (head.method, head.length) == (method, length)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"GET /", b"GET / HTTP/1.2", b"GET / HTTP/2.0", b"GET / RTSP/1.0", b"SOURCE / ICE/1.0", b"GET  / HTTP/1.1",
        b"GET /\xc3\xa9 HTTP/1.1", b"GET /a b HTTP/1.1", b"G\0T / HTTP/1.1", b"G(T / HTTP/1.1", b" / HTTP/1.1",
        b"GET / HTTP/1.1\r\nA : 1", b"GET / HTTP/1.1\r\nA: 1\r\n 2", b"GET / HTTP/1.1\r\nA: 1\nB: 2",
        b"GET / HTTP/1.1\nA: 1", b"GET / HTTP/1.1\r\nA: 1\rB: 2", b"GET / HTTP/1.1\r\nA: \0",
        b"GET / HTTP/1.1\r\nno colon",
        b"GET / HTTP/1.1\r\n: 1", b"GET / HTTP/1.1\r\n\xe9: 1",
        b"POST / HTTP/1.1\r\nContent-Length: +2", b"POST / HTTP/1.1\r\nContent-Length: 0x2",
        b"POST / HTTP/1.1\r\nContent-Length: \xef\xbc\x95\xef\xbc\x90", b"POST / HTTP/1.1\r\nContent-Length:",
        b"POST / HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 2", b"POST / HTTP/1.1\r\nContent-Length: 2, 2",
        b"POST / HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 2",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip", b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked",
    ],
)  # fmt: skip
def test_what_is_no_head(data: bytes) -> None:
    with pytest.raises(BadHead):
        Head(data + b"\r\n\r\n")


@given(st.binary(max_size=60))
def test_any_bytes_are_a_head_or_not(data: bytes) -> None:
    raw = data.split(b"\r\n\r\n")[0] + b"\r\n\r\n"
    try:
        head = Head(raw)
    except BadHead:
        return
    assert raw.startswith(b"%b %b HTTP/%b\r\n" % (head.method, head.target, head.version.encode()))


@pytest.mark.parametrize(
    "data",
    [
        POST + b"Content-Length: +2\r\n\r\n{}",
        POST + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
        POST + b"Content-Length : 2\r\n\r\n{}",
        POST + b"\r\n{}",
        POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        POST.replace(b"1.1", b"1.0") + b"Content-Length: 2\r\n\r\n{}",
        POST.replace(b"readings", b"readings?atomic") + b"Content-Length: 2\r\n\r\n{}",
        POST + b"Content-Length: 2\r\nAuthorization: Bearer x\r\n\r\n{}",
        POST.replace(b"Bearer", b"B\xe9arer") + b"Content-Length: 2\r\n\r\n{}",
        POST + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n{}",
        POST + b"Content-Length: 2\r\nContent-Type: text/csv\r\n\r\n{}",
        POST + b"Content-Length: 2\r\nConnection: close\r\n\r\n{}",
        POST + b"Content-Length: 2\r\nX-Unknown: 1\r\n\r\n{}",
        b"POST /v1/readings HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}",
        STATE.replace(b"d1", b"d%31") + b"\r\n",
        STATE,
        STATE + b"Content-Length: 2\r\n\r\n",
        STATE + b"Referer: %b\r\n\r\n" % (b"x" * MAX_REMEMBERED),
    ],
)
def test_what_is_left_to_sanic(data: bytes) -> None:
    assert direct(data) is None


def test_a_head_that_comes_again_is_read_as_the_first_time() -> None:
    heads = HeadParser()
    start = POST + b"Content-Length: 2\r\nX-Forwarded-For: 10.0.0.1\r\n\r\n"
    for data in (start + b"{}", start + b"[]", start[:-1] + b"X[]", start, STATE + b"\r\n", start + b"[]", b"", b"x"):
        head = heads.peek(data)
        assert (None if head is None else (head.direct, head.length, head.raw)) == direct(data)


def test_sanic_takes_the_head_that_was_read_and_only_a_direct_one_stays() -> None:
    for start, stays in ((POST + b"Content-Length: 2\r\n\r\n", True), (POST + b"X-Unknown: 1\r\n\r\n", False)):
        heads = HeadParser()
        head = heads.peek(start)
        assert heads.take(bytearray(start), len(start) - 4) is head
        assert (heads.take(bytearray(start), len(start) - 4) is head) is stays
    with pytest.raises(BadHead):
        HeadParser().take(bytearray(b"x\r\n\r\n"), 1)
