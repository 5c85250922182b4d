"""HTTP heads, WebSocket frames, cursors and the ids of events."""

import asyncio
from contextlib import suppress
from functools import cache

import h11

from gateway.core.errors import BadRequest
from gateway.domain.changes import to_position
from gateway.web.handlers.websocket_protocol import MAX_MESSAGE
from gateway.web.http.query import to_page
from gateway.web.server.head import CHUNKED, BadHead, Head, HeadParser
from tests.fuzz.target import cut, target
from tests.hostile.attacks.heads import LOOSE
from tests.hostile.sockets import CONTINUATION, FIN, PING, TEXT, frame, text
from tests.property.test_frames import hold

HEADS = [
    b"POST /v1/readings HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer x\r\nContent-Length: 2\r\n\r\n{}",
    b'GET /v1/devices/d1/state?metrics=t HTTP/1.1\r\nHost: g\r\nX-Request-Id: a\r\nIf-None-Match: "x"\r\n\r\n',
    b"POST /v1/readings HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\nConnection: close, x\r\n\r\n0\r\n\r\n",
    *LOOSE.values(),
]
MOST = 2**63 - 1
LONGEST = 4_000
"""Bytes of frames: of more the gateway rests, and so would we."""
FRAMES = [
    text(b'{"type":"ping"}')
    + frame(TEXT, b'{"type":')
    + frame(FIN | PING, b"x")
    + frame(FIN | CONTINUATION, b'"ping"}'),
    frame(TEXT) + frame(CONTINUATION) * 20,
    frame(FIN | 0x8, b"\x03\xe8bye"),
    frame(FIN | TEXT, b"x" * 300),
]


@target("heads", "heads of HTTP/1 requests, against another reader of them", HEADS)
def heads(data: bytes) -> None:
    """A head or BadHead; read the same a second time; and no other reader finds another body in it."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return
    parser = HeadParser()
    peeked = parser.peek(data)
    try:
        head = parser.take(bytearray(data), end)
    except BadHead:
        assert peeked is None
        return
    again = Head(data[: end + 4])
    assert (head.method, head.target, head.fields, head.length) == (
        again.method,
        again.target,
        again.fields,
        again.length,
    )
    _agrees(head)


def _agrees(head: Head) -> None:
    """What h11 takes for a head has the same fields, and the same length of the body."""
    other = h11.Connection(h11.SERVER)
    try:
        other.receive_data(head.raw)
        found = other.next_event()
    except h11.RemoteProtocolError:
        return
    if not isinstance(found, h11.Request):
        return
    fields = [(name, value) for name, value in found.headers]
    assert [name for name, _ in head.fields] == [name for name, _ in fields]
    lengths = {value for name, value in fields if name == b"content-length"}
    codings = [value.lower() for name, value in fields if name == b"transfer-encoding"]
    if codings:
        assert head.length == CHUNKED
    elif lengths:
        assert {int(each) for each in lengths} == {head.length}
    else:
        assert head.length is None


@cache
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


@target("frames", "frames of a WebSocket, in any pieces", FRAMES)
def frames(data: bytes) -> None:
    """Whole messages of text, none too long, an end that is said once, and no error that is not said."""
    heard = _loop().run_until_complete(hold(cut(data[:LONGEST])))
    assert all(len(message.encode()) <= MAX_MESSAGE for message in heard.messages)


def _cursors() -> list[bytes]:
    page = to_page(9, None, about="x")
    return [(page.cursor(last) or "").encode() for last in ("d1", 7, None)]


@target("cursors", "cursors of pages, and ids of events", [*_cursors(), b"9f1c2ab7d0e4z0-46-1795376435250"])
def cursors(data: bytes) -> None:
    """A place, or BadRequest; and an id that is read says itself."""
    words = data.decode("latin-1")
    with suppress(BadRequest):
        page = to_page(9, words, about="x")
        with suppress(BadRequest):
            assert isinstance(page.last_name(), str)
        with suppress(BadRequest):
            assert (page.last_number(most=MOST) or 0) <= MOST
    position = to_position(words)
    assert position is None or to_position(position.text) == position
