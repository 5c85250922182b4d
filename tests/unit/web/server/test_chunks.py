"""Chunks: what a body is, in whatever pieces it comes, and that nothing else is one."""

from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.web.server.chunks import (
    EACH_TIME,
    FORBIDDEN,
    MAX_CHUNKS,
    MAX_LINE,
    MAX_SMALL,
    MAX_TRAILER_BYTES,
    SMALL,
    BadChunk,
    Chunks,
    ManyChunks,
)

END = b"0\r\n\r\n"
NEXT = b"GET / HTTP/1.1\r\n"


def read(pieces: Iterable[bytes], most: float = 10_000) -> tuple[bytes, bytes]:
    """Return the body, and what came behind it. Raises BadChunk; AssertionError if it has not ended."""
    chunks, buffer, body = Chunks(), bytearray(), b""
    has_ended = False
    for piece in pieces:
        buffer += piece
        while not has_ended and (part := chunks.take(buffer, most)) != b"":
            has_ended = part is None
            body += part or b""
    assert has_ended
    return body, bytes(buffer)


SIZES = st.sampled_from(["%x", "%X", "0%x", "00000%X"])
EXTENSIONS = st.sampled_from([b"", b";a", b" ;a=1", b'\t; a="b c";d'])
TRAILERS = st.lists(st.sampled_from([b"Checksum: 1", b"x:", b"A-b: \xe9\t"]), max_size=3)


@given(
    st.lists(st.tuples(st.binary(min_size=1, max_size=40), SIZES, EXTENSIONS), max_size=6),
    st.tuples(st.sampled_from([b"0", b"000"]), EXTENSIONS),
    TRAILERS,
    st.lists(st.integers(0, 400), max_size=5),
)
def test_a_body_is_read_in_any_pieces(
    written: list[tuple[bytes, str, bytes]], last: tuple[bytes, bytes], trailers: list[bytes], cuts: list[int]
) -> None:
    lines = [(size % len(data)).encode() + more + b"\r\n" + data for data, size, more in written]
    sent = b"\r\n".join([*lines, b"".join(last), *trailers, b"", NEXT])
    places = sorted({0, *(cut % len(sent) for cut in cuts), len(sent)})
    pieces = [sent[one:two] for one, two in pairwise(places)]
    assert read(pieces) == (b"".join(data for data, _, _ in written), NEXT)
    assert read([bytes([byte]) for byte in sent])[0] == read([sent])[0]


@pytest.mark.parametrize(
    "sent",
    [
        b"0x2\r\n{}\r\n", b"+2\r\n{}\r\n", b"-2\r\n{}\r\n", b" 2\r\n{}\r\n", b"2 \r\n{}\r\n", b"2_0\r\n", b"\r\n{}\r\n",
        b"\xef\xbc\x92\r\n{}\r\n", b"2\n{}\n0\n\n", b"2\r{}\r", b"2\r\n{}0\r\n\r\n", b"2\r\n{}\n0\r\n\r\n",
        b"2\r\n{}\r0\r\n", b"2\r\n{} \r\n", b"2;\0\r\n{}\r\n", b"2;a\nb\r\n{}\r\n", b"2;a\rb\r\n{}\r\n",
        b"\0\r\n", b"g\r\n",
        b"f" * 16 + b"\r\n", b"0" * 16 + b"2\r\n", b"2;" + b"a" * MAX_LINE, b"2;" + b"a" * MAX_LINE + b"\r\n",
        b"0\r\nno colon\r\n\r\n", b"0\r\n folded: 1\r\n\r\n", b"0\r\na : 1\r\n\r\n", b"0\r\na: \0\r\n\r\n",
        b"0\r\na: 1\n\r\n\r\n", b"0\r\n\n", b"0\r\n\rx", b"0\r\n" + b"a: 1\r\n" * (MAX_TRAILER_BYTES // 6 + 1),
        b"0\r\nx: " + b"y" * MAX_TRAILER_BYTES,
        *(b"0\r\n%b: 1\r\n\r\n" % name.title() for name in sorted(FORBIDDEN)),
    ],
)  # fmt: skip
def test_what_is_no_body_in_chunks(sent: bytes) -> None:
    for pieces in ([sent], [bytes([byte]) for byte in sent]):
        with pytest.raises(BadChunk):
            read(pieces)


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused_alike_in_any_pieces(data: bytes) -> None:
    def outcome(pieces: list[bytes]) -> object:
        try:
            return read(pieces)
        except BadChunk:
            return "bad"
        except AssertionError:
            return "more"

    assert outcome([data]) == outcome([bytes([byte]) for byte in data])


def test_a_body_has_a_bound_in_chunks() -> None:
    small, large = b"1\r\nx\r\n", b"40\r\n%b\r\n" % (b"x" * 64)
    least = MAX_SMALL + MAX_SMALL // SMALL
    assert read([small * least + END], most=1e9)[0] == b"x" * least
    with pytest.raises(ManyChunks, match="send larger chunks"):
        read([small * (2 * MAX_SMALL) + END], most=1e9)
    assert len(read([large * (MAX_CHUNKS - 1) + END], most=1e9)[0]) == 64 * (MAX_CHUNKS - 1)
    with pytest.raises(ManyChunks):
        read([large * MAX_CHUNKS + END], most=1e9)


def test_others_have_their_turn_between_chunks() -> None:
    chunks, buffer = Chunks(), bytearray(b"1\r\nx\r\n" * 1000 + END)
    for number in range(1, 1000 // EACH_TIME):
        assert len(chunks.take(buffer, 1e9) or b"") <= EACH_TIME
        assert chunks.count == number * EACH_TIME


def test_a_body_over_the_cap_is_not_read_on() -> None:
    chunks, buffer = Chunks(), bytearray(b"5\r\nabcde\r\nff\r\nxyz")
    assert chunks.take(buffer, 100) == b"abcde"
    assert chunks.size == 5 + 0xFF
    assert buffer == b"xyz"
    assert chunks.take(buffer, 100) == b""
    assert buffer == b"xyz"
