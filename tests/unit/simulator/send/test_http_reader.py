from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.core.errors import ProtocolError
from simulator.send.drivers.http_reader import Response, ResponseReader

SIZED = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nRetry-After:  3 \r\n\r\nhello"
CHUNKED = b"HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\nTrailer: 1\r\n\r\n"
EMPTY = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"
CONTINUED = b"HTTP/1.1 100 Continue\r\n\r\n" + SIZED
TO_THE_END = b"HTTP/1.1 200 OK\r\n\r\nhello"
WHOLE = (SIZED, CHUNKED, EMPTY, NO_CONTENT, CONTINUED)


def _read(data: bytes) -> Response:
    response = ResponseReader().feed(data)
    assert response is not None
    return response


def test_a_body_of_known_length() -> None:
    response = _read(SIZED)
    assert (response.status, response.body, response.keep_alive) == (200, b"hello", True)
    assert response.headers == {"content-length": "5", "retry-after": "3"}


def test_a_chunked_body() -> None:
    assert (_read(CHUNKED).status, _read(CHUNKED).body) == (503, b"hello")


def test_no_body() -> None:
    assert _read(EMPTY).body == b""
    assert _read(NO_CONTENT).status == 204


def test_an_interim_response_is_passed_over() -> None:
    assert (_read(CONTINUED).status, _read(CONTINUED).body) == (200, b"hello")


def test_a_body_without_length_ends_with_the_connection() -> None:
    reader = ResponseReader()
    assert reader.feed(TO_THE_END) is None
    response = reader.end()
    assert response is not None
    assert (response.body, response.keep_alive) == (b"hello", False)


@pytest.mark.parametrize(
    ("head", "kept"),
    [
        (b"HTTP/1.1 200 OK\r\n", True),
        (b"HTTP/1.1 200 OK\r\nConnection: Close\r\n", False),
        (b"HTTP/1.0 200 OK\r\n", False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n", True),
    ],
)
def test_keep_alive(head: bytes, kept: bool) -> None:
    assert _read(head + b"Content-Length: 0\r\n\r\n").keep_alive is kept


@given(st.sampled_from(WHOLE), st.lists(st.integers(0, 200), max_size=12))
def test_a_response_cut_anywhere_is_the_same(data: bytes, cuts: list[int]) -> None:
    reader = ResponseReader()
    places = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
    found = [reader.feed(data[a:b]) for a, b in pairwise(places)]
    assert [response for response in found if response] == [_read(data)]
    assert found[-1] is not None
    assert reader.is_idle


def test_one_reader_reads_one_response_after_another() -> None:
    reader = ResponseReader()
    for data in WHOLE * 2:
        assert reader.feed(data) == _read(data)


@pytest.mark.parametrize("data", [SIZED, CHUNKED])
def test_a_response_cut_short_is_none(data: bytes) -> None:
    for end in range(len(data)):
        reader = ResponseReader()
        assert reader.feed(data[:end]) is None
        assert reader.end() is None


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 2x0 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n folded: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1_0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
        SIZED + b"more",
        b"x" * 70_000,
    ],
)
def test_what_is_no_response(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        ResponseReader().feed(data)


@given(st.binary(max_size=300) | st.binary(max_size=200).map(lambda rest: b"HTTP/1.1 200 OK\r\n" + rest))
def test_any_bytes_give_a_response_or_a_protocol_error(data: bytes) -> None:
    reader = ResponseReader()
    try:
        reader.feed(data)
        reader.end()
    except ProtocolError:
        return
    assert reader.feed(b"") is None


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", (200, b"ok")),
        (b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", (404, b"")),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", (200, b"ok")),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no", None),
        (b"HTTP/1.1 200 OK\r\nContent-Le", None),
        (b"HTTP/1.1 200 OK\r\nX: 1\r\n\r\ncontent-length: 0\r\n", None),
        (b"", None),
    ],
)
def test_a_response_is_told_once_it_is_whole(data: bytes, found: tuple[int, bytes] | None) -> None:
    response = ResponseReader().feed(data)
    assert (response and (response.status, response.body)) == found


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 12_000,
        SIZED + b"HTTP/1.1 200",
    ],
)
def test_a_head_that_is_refused(head: bytes) -> None:
    with pytest.raises(ProtocolError):
        ResponseReader().feed(head)


def test_an_answer_that_does_not_end_is_taken_piece_by_piece() -> None:
    reader = ResponseReader()
    assert reader.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n") is None
    assert (reader.has_head, reader.status, reader.take()) == (True, 200, b"")
    assert reader.feed(b"2\r\nab\r\n1\r\nc\r\n") is None
    assert (reader.take(), reader.take()) == (b"abc", b"")
    response = reader.feed(b"1\r\nd\r\n0\r\n\r\n")
    assert response is not None
    assert (response.body, reader.has_head) == (b"d", False)
