"""Whatever is sent: an answer or a close, and never a request out of the body of another.

What is a request is asked of h11, which shares no code with the gateway: whatever we answer, it must have seen. A
request that stands before us and is read in another way by somebody else is how bodies become requests.
"""

import re
from collections.abc import Iterator

import h11
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.property.test_twin_doors import Served, serving_both

BODY = b'{"device":"d1","ts":1732277000123,"values":{"t":1.5}}'
HEAD = b"POST /v1/readings HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer admin\r\n"
HIDDEN = HEAD + b"X-Request-Id: hidden\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
LAST = b"GET /livez HTTP/1.1\r\nHost: g\r\nX-Request-Id: last\r\nConnection: close\r\n\r\n"
IDS = re.compile(rb"\r\nx-request-id: ([a-z]+)\r\n")
MANY = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
SIZE = len(HIDDEN)
PARTS = [HIDDEN, b"{}", b"\r\n\r\n", b"0\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"]
__all__ = ["serving_both"]
"""The fixture `served`."""


def requests_in(data: bytes) -> Iterator[bytes]:
    """The ids of the requests that h11 sees."""
    while data := data.lstrip(b"\r\n"):
        reader = h11.Connection(h11.SERVER)
        reader.receive_data(data)
        try:
            request = reader.next_event()
            if not isinstance(request, h11.Request):
                return
            yield dict(request.headers).get(b"x-request-id", b"")
            while not isinstance(event := reader.next_event(), h11.EndOfMessage):
                if event in (h11.NEED_DATA, h11.PAUSED):
                    return
        except h11.RemoteProtocolError:
            return
        if reader.their_state is h11.MUST_CLOSE:
            return
        data = reader.trailing_data[0]


def check(served: Served, data: bytes) -> bytes:
    """Send it to both doors; return what is answered."""
    known = {*requests_in(data), b""}
    ours, sanic = served.converse([data])
    for heard in (ours, sanic):
        assert not heard.answered or heard.answered.startswith(b"HTTP/1.1 ")
        assert {*IDS.findall(heard.answered)} <= known
    if ours.whole and sanic.whole:
        assert ours.answered == sanic.answered
    return ours.answered


def chunked(size: bytes, body: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    return b"%b\r\n%b\r\n%b" % (size, body, end)


UNFRAMED = [
    b"Content-Length : %d" % SIZE,
    b"Content-Length\t: %d" % SIZE,
    b"Content-Length: %d\r\nContent-Length: 0" % SIZE,
    b"Content-Length: 0\r\nContent-Length: %d" % SIZE,
    b"Content-Length: %d, 0" % SIZE,
    b"Content-Length: +%d" % SIZE,
    b"Content-Length: -0",
    b"Content-Length: 0x%x" % SIZE,
    b"Content-Length: 1_0",
    b"Content-Length: 1 0",
    b"Content-Length: \xef\xbc\x90",
    b"Content-Length:",
    b"Content-Length: \x0b0",
    b"Content-Length: 99999999999999999999",
    b"Content-Length: 0\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: chunked\r\nContent-Length: 0",
    b"Transfer-Encoding : chunked",
    b"Transfer-Encoding: chunked, identity",
    b"Transfer-Encoding: identity",
    b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: xchunked",
    b"Transfer-Encoding: \x0bchunked",
    b'Transfer-Encoding: "chunked"',
    b"Transfer-Encoding:\r\n chunked",
    b" Transfer-Encoding: chunked",
    b"X: 1\r\n\tContent-Length: 0",
    b"X: 1\nContent-Length: 0",
    b"X: 1\rContent-Length: 0",
    b"X: \0\r\nContent-Length: 0",
    b"Content-Length 0",
    b"Host: other",
    b"Host: \r\nHost: a",
]
"""Lines that frame no body, or in more than one way."""


@pytest.mark.parametrize("line", UNFRAMED)
def test_a_body_whose_length_is_in_doubt_is_refused_and_is_no_request(served: Served, line: bytes) -> None:
    for body in (HIDDEN, chunked(b"%x" % SIZE, HIDDEN), b"0\r\n\r\n" + HIDDEN):
        heard, sanic = served.converse([HEAD + line + b"\r\n\r\n" + body + LAST])
        assert heard.answered == sanic.answered
        assert heard.answered.startswith(b"HTTP/1.1 400 ")
        assert heard.answered.count(b"HTTP/1.1 ") == 1
        assert b"connection: close" in heard.answered


@pytest.mark.parametrize(
    "sent",
    [
        chunked(b"0x%x" % SIZE, HIDDEN), chunked(b"+%x" % SIZE, HIDDEN), chunked(b" %x" % SIZE, HIDDEN),
        chunked(b"%x " % SIZE, HIDDEN), chunked(b"%x_" % SIZE, HIDDEN), chunked(b"-1", HIDDEN),
        chunked(b"1" + b"0" * 16, HIDDEN), chunked(b"%x;\0" % SIZE, HIDDEN), chunked(b"%x\n" % SIZE, HIDDEN),
        b"%x\n%b\n0\n\n" % (SIZE, HIDDEN), b"2\r\n{}" + HIDDEN, b"2\r\n{}x" + HIDDEN, b"2\r\n{}\n" + HIDDEN,
        b"%x\r\n%b0\r\n\r\n" % (SIZE, HIDDEN), b"%x;%b\r\n%b\r\n0\r\n\r\n" % (SIZE, b"a" * 5000, HIDDEN),
        b"0\r\nContent-Length: 5\r\n\r\n", b"0\r\nTransfer-Encoding: chunked\r\n\r\n", b"0\r\nHost: x\r\n\r\n",
        b"0\r\nno colon\r\n\r\n", b"0\r\n" + b"a: 1\r\n" * 2000 + b"\r\n",
    ],
)  # fmt: skip
def test_a_body_whose_chunks_are_in_doubt_is_refused_and_is_no_request(served: Served, sent: bytes) -> None:
    heard, sanic = served.converse([HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + sent + LAST])
    assert heard.answered == sanic.answered
    assert heard.answered.startswith(b"HTTP/1.1 400 ")
    assert heard.answered.count(b"HTTP/1.1 ") == 1


@MANY
@given(
    st.sampled_from([b"POST /v1/readings", b"GET /livez", b"DELETE /nowhere", b"GET /v1/devices/d1/state", b"BREW *"]),
    st.lists(
        st.sampled_from([HIDDEN, b"{}", b"\r\n\r\n", b"0\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"]), min_size=1, max_size=3
    ),
    st.sampled_from(["length", "one chunk", "a chunk each"]),
    st.sampled_from([b"", b"Checksum: 1\r\n"]),
)
def test_what_is_in_a_body_is_no_request(
    served: Served, line: bytes, parts: list[bytes], framing: str, trailers: bytes
) -> None:
    body = b"".join(parts)
    start = line + HEAD[HEAD.index(b" HTTP") :] + b"X-Request-Id: first\r\n"
    if framing == "length":
        data = start + b"Content-Length: %d\r\n\r\n" % len(body) + body
    else:
        chunks = [body] if framing == "one chunk" else parts
        written = b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in chunks)
        data = start + b"Transfer-Encoding: chunked\r\n\r\n" + written + b"0\r\n" + trailers + b"\r\n"
    answered = check(served, data + LAST)
    assert IDS.findall(answered) in ([b"first", b"last"], [b"first"])


WHOLE = HEAD + b"X-Request-Id: first\r\nContent-Length: %d\r\n\r\n%b" % (SIZE, HIDDEN) + LAST
PIECED = HEAD + b"X-Request-Id: first\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"%x" % SIZE, HIDDEN) + LAST
ODD = st.sampled_from(
    [
        b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b"0", b"-", b"+", b"_", b"x", b",", b";", b"\x0b", b"\xff",
        b"Content-Length: 0\r\n", b"Transfer-Encoding: chunked\r\n", b"\r\n\r\n", b"0\r\n\r\n", b"Host: b\r\n",
        b"HTTP/1.0",
    ]
)  # fmt: skip


@MANY
@given(
    st.sampled_from([WHOLE, PIECED]),
    st.lists(st.tuples(st.integers(0, 600), st.integers(0, 3), ODD | st.binary(max_size=2)), min_size=1, max_size=3),
)
@example(WHOLE, [(len(HEAD) + 38, 0, b"\t")])
def test_a_request_in_which_something_was_changed(
    served: Served, data: bytes, changes: list[tuple[int, int, bytes]]
) -> None:
    for place, left_out, put_in in changes:
        at = place % len(data)
        data = data[:at] + put_in + data[at + left_out :]
    check(served, data + LAST)


@MANY
@given(st.lists(ODD | st.binary(max_size=8) | st.sampled_from([HEAD, b"\r\n", HIDDEN, b"GET / HTTP/1.1"]), max_size=8))
def test_any_bytes_get_an_answer_or_a_close(served: Served, pieces: list[bytes]) -> None:
    check(served, b"".join(pieces) + LAST)
