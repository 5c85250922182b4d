"""Heads: what one says, what is none, whose request may be answered at once, and that one that comes again says it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.web.server.head import (
    CHUNKED,
    MAX_FIELDS,
    MAX_REMEMBERED,
    BadHead,
    Head,
    HeadParser,
    LargeHead,
    may_begin,
)

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
    start, line, rest = data.partition(b"\r\n")
    with pytest.raises(BadHead):
        Head(b"%b\r\nHost: g%b%b\r\n\r\n" % (start, line, rest))


@pytest.mark.parametrize(
    ("fields", "is_one"),
    [
        (b"", False),
        (b"Host: g\r\nHost: g\r\n", False),
        (b"Host: a\r\nHost: b\r\n", False),
        (b"Host: a, b\r\n", False),
        (b"Host: a/b\r\n", False),
        (b"Host: u@h\r\n", False),
        (b"Host: a b\r\n", False),
        (b"Host: h:8o\r\n", False),
        (b"Host: h:800000\r\n", False),
        (b"Host: ::1\r\n", False),
        (b"Host: \xff\r\n", False),
        (b"Host:\r\n", True),
        (b"Host: h:\r\n", True),
        (b"host: [::1]:8080\r\n", True),
        (b"HOST: gateway_1.local:80\r\n", True),
    ],
)
def test_which_host_is_asked_for_is_said_once(fields: bytes, is_one: bool) -> None:
    data = b"GET / HTTP/1.1\r\n%b\r\n" % fields
    if is_one:
        assert Head(data).target == b"/"
    else:
        with pytest.raises(BadHead):
            Head(data)
    assert Head(b"GET / HTTP/1.0\r\n\r\n").version == "1.0"


@pytest.mark.parametrize("target", [b"/", b"/a?b=//c", b"//a", b"*", b"http://h", b"HTTP://h:1/a", b"https://[::1]?x"])
def test_what_is_asked_for(target: bytes) -> None:
    assert Head(b"GET %b HTTP/1.1\r\nHost: g\r\n\r\n" % target).target == target


@pytest.mark.parametrize(
    "target",
    [b"/a#b", b"a", b"h:443", b"ftp://h/a", b"http://u@h/", b"http://u:p@h/a", b"http:///a", b"http://h#b", b"**"],
)
def test_what_nobody_can_ask_for(target: bytes) -> None:
    with pytest.raises(BadHead):
        Head(b"GET %b HTTP/1.1\r\nHost: g\r\n\r\n" % target)


def test_fields_have_a_bound() -> None:
    data = b"GET / HTTP/1.1\r\nHost: g\r\n" + b"a: 1\r\n" * (MAX_FIELDS - 1)
    assert len(Head(data + b"\r\n").fields) == MAX_FIELDS
    with pytest.raises(LargeHead):
        Head(data + b"a: 1\r\n\r\n")


OTHERS = [b"BREW /\x7e?x HTTP/1.0\r\nA:\xe9\r\n", b"GET * HTTP/1.1\r\nHost:\r\n"]


@given(st.sampled_from([POST, STATE, *OTHERS]), st.integers())
def test_whatever_a_head_begins_with_may_be_one(start: bytes, size: int) -> None:
    data = start + b"\r\n"
    assert Head(data)
    assert may_begin(bytearray(data[: size % len(data)]))


@pytest.mark.parametrize(
    "data",
    [
        b"GET /\r\n", b"GET / HTTP/2.0\r\n", b"GET / HTTP/0.9\r\n", b"get\r\n", b"G(T / HTTP/1.1\r\n",
        b"GET  / HTTP/1.1\r\n", b"GET / HTTP/1.1\n", b"GET / HTTP/1.1\r\nA: 1\n", b"GET / HTTP/1.1\rA",
        b"GET /\0", b"\x16\x03\x01\0",
        b"GET / HTTP/1.1\r\nA: \0", b"GET / HTTP/1.1\r\r\n", b"GET /\xe9 HTTP/1.1\r\n", b"\r\nGET",
    ],
)  # fmt: skip
def test_what_cannot_become_a_head_is_seen_early(data: bytes) -> None:
    assert not may_begin(bytearray(data))


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


@given(st.lists(st.one_of(st.integers(0, 2**64).map(lambda n: b"%d" % n), st.binary(max_size=14)), max_size=8))
@pytest.mark.parametrize("form", [b"Content-Length: %b\r\nX-Request-Id: 7\r\n\r\n{}", b"content-LENGTH:\t%b \r\n\r\n"])
def test_a_head_with_another_length_is_read_as_the_first_time(form: bytes, lengths: list[bytes]) -> None:
    """Whatever stands in the length's place, and a GET in between."""
    heads = HeadParser()
    for length in (b"17", *lengths, b"18", b"007"):
        data = POST + form % length
        head, anew = heads.peek(data), HeadParser().peek(data)
        seen, expected = (
            None if each is None else (each.direct, each.length, each.raw, each.fields, each.target, each.version)
            for each in (head, anew)
        )
        assert seen == expected
        if len(length) == 1:
            assert heads.peek(STATE + b"\r\n") is not None


def test_sanic_takes_the_head_that_was_read_and_only_a_direct_one_stays() -> None:
    for start, stays in ((POST + b"Content-Length: 2\r\n\r\n", True), (POST + b"X-Unknown: 1\r\n\r\n", False)):
        heads = HeadParser()
        head = heads.peek(start)
        assert heads.take(bytearray(start), len(start) - 4) is head
        assert (heads.take(bytearray(start), len(start) - 4) is head) is stays
    with pytest.raises(BadHead):
        HeadParser().take(bytearray(b"x\r\n\r\n"), 1)
