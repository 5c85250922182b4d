"""Whatever frames come over a WebSocket, in whatever pieces: what RFC 6455 says of them happens, and nothing else."""

import asyncio
import struct
from collections.abc import Sequence
from typing import NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.web.handlers.websocket_protocol import MAX_FRAGMENTS, MAX_MESSAGE
from tests.builders.socket_link import CLOSE, PONG, Link, parse

SOON = 10.0
CONT, TEXT, BINARY, PING = 0, 1, 2, 9
MASK = b"\x0fZ\xf1\x80"
SENDABLE_CODES = frozenset({*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)})


class Sent(NamedTuple):
    """One frame from a client."""

    opcode: int
    payload: bytes
    fin: bool = True
    reserved: int = 0
    masked: bool = True

    def to_bytes(self) -> bytes:
        size = len(self.payload)
        marks = 128 * self.masked
        short = bytes([128 * self.fin + 16 * self.reserved + self.opcode])
        if size < 126:
            start = short + bytes([marks + size])
        elif size < 2**16:
            start = short + bytes([marks + 126]) + struct.pack("!H", size)
        else:
            start = short + bytes([marks + 127]) + struct.pack("!Q", size)
        if not self.masked:
            return start + self.payload
        return start + MASK + bytes(byte ^ MASK[at % 4] for at, byte in enumerate(self.payload))


class Heard(NamedTuple):
    """What came of it."""

    messages: list[str]
    pongs: list[bytes]
    code: int | None
    """Of the closing frame; 0 if it says none."""


def expected(frames: Sequence[Sent]) -> Heard:
    """What RFC 6455 says (5.2 to 5.5, 7.4, 8.1), and our bounds."""
    messages: list[str] = []
    pongs: list[bytes] = []
    parts: list[bytes] | None = None
    for frame in frames:
        code = _fault(frame, parts)
        if code is None and frame.opcode == CLOSE:
            return Heard(messages, pongs, int.from_bytes(frame.payload[:2], "big"))
        if code is None and frame.opcode == PING:
            pongs.append(frame.payload)
        elif code is None and frame.opcode != PONG:
            parts = [*(parts or []), frame.payload]
            if len(parts) > MAX_FRAGMENTS:
                code = 1009
            elif frame.fin:
                try:
                    messages.append(b"".join(parts).decode())
                except UnicodeDecodeError:
                    code = 1007
                parts = None
        if code is not None:
            return Heard(messages, pongs, code)
    return Heard(messages, pongs, None)


def _fault(frame: Sent, parts: list[bytes] | None) -> int | None:
    """The code of a frame that may not be, or not here."""
    is_control = frame.opcode >= CLOSE
    if frame.opcode not in (CONT, TEXT, BINARY, CLOSE, PING, PONG) or not frame.masked:
        return 1002
    if len(frame.payload) > MAX_MESSAGE - sum(map(len, parts or ())):
        return 1009
    if frame.reserved or (is_control and (not frame.fin or len(frame.payload) > 125)):
        return 1002
    if not is_control and (parts is None) == (frame.opcode == CONT):
        return 1002
    return _closing_fault(frame.payload, within=parts is not None) if frame.opcode == CLOSE else None


def _closing_fault(payload: bytes, *, within: bool) -> int | None:
    if len(payload) == 1:
        return 1002
    try:
        payload[2:].decode()
    except UnicodeDecodeError:
        return 1007
    may_be = not payload or int.from_bytes(payload[:2], "big") in SENDABLE_CODES
    return None if may_be and not within else 1002


async def hold(pieces: Sequence[bytes]) -> Heard:
    """Let the pieces arrive, one after the other, as far as the connection is read."""
    link = Link()
    wire = link.open()
    messages: list[str] = []

    async def listen() -> None:
        while (message := await wire.receive()) is not None:
            messages.append(message)

    listening = asyncio.create_task(listen(), name="listening")
    async with asyncio.timeout(SOON):
        for piece in pieces:
            wire.data_received(piece)
            while not link.reading:  # noqa: ASYNC110 - it goes on by itself
                await asyncio.sleep(0)
        wire.eof_received()
        await listening
    frames = list(parse(bytes(link.written)))
    closing = [payload for opcode, payload in frames if opcode == CLOSE]
    assert len(closing) <= 1
    assert {opcode for opcode, _ in frames} <= {CLOSE, PONG}
    code = int.from_bytes(closing[0][:2], "big") if closing else None
    assert bool(closing) == link.is_over
    return Heard(messages, [payload for opcode, payload in frames if opcode == PONG], code)


PAYLOADS = st.one_of(
    st.just(b""), st.text(max_size=20).map(str.encode), st.binary(max_size=20), st.binary(min_size=120, max_size=130),
    st.sampled_from([b"\xc3", b"\xa9", b"x" * 40_000, b"x" * MAX_MESSAGE, b"x" * (MAX_MESSAGE + 1), b"\xed\xa0\x80"]),
)  # fmt: skip
CLOSINGS = st.builds(
    lambda code, reason: struct.pack("!H", code) + reason,
    st.sampled_from([0, 999, 1000, 1001, 1004, 1005, 1006, 1007, 1011, 1014, 1015, 2999, 3000, 4999, 5000, 65_535]),
    st.sampled_from([b"", b"bye", b"\xff", b"x" * 123, b"x" * 124]),
)
GOOD = st.one_of(
    st.tuples(st.sampled_from([TEXT, BINARY, CONT]), PAYLOADS, st.booleans()),
    st.tuples(st.sampled_from([PING, PONG]), st.binary(max_size=125)),
)
ANY = st.one_of(
    GOOD, GOOD, GOOD, GOOD, GOOD,
    st.tuples(st.just(CLOSE), CLOSINGS),
    st.tuples(st.sampled_from(range(16)), PAYLOADS, st.booleans(), st.sampled_from(range(8)), st.booleans()),
).map(lambda fields: Sent(*fields))  # fmt: skip
MANY = [Sent(TEXT, b"", fin=False), *[Sent(CONT, b"", fin=False)] * MAX_FRAGMENTS]


@settings(max_examples=300, deadline=None)
@given(st.lists(ANY, max_size=12), st.lists(st.integers(0, 100_000), max_size=4))
@example(MANY, [])
@example([*MANY[:-1], Sent(PING, b"in between"), Sent(CONT, b"", fin=True)], [7])
@example([Sent(PING, bytes([number % 256])) for number in range(700)], [])
@example([Sent(TEXT, b"\xc3", fin=False), Sent(PING, b"x"), Sent(CONT, b"\xa9")], [1, 2, 3])
def test_frames_are_served_as_the_standard_says(frames: list[Sent], places: list[int]) -> None:
    data = b"".join(frame.to_bytes() for frame in frames)
    cuts = sorted({place % (len(data) + 1) for place in places})
    pieces = [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    heard, wanted = asyncio.run(hold([piece for piece in pieces if piece])), expected(frames)
    if wanted.code in (1007, 1009) and heard.code:  # what comes at once with it may be answered before it is seen
        heard = heard._replace(pongs=heard.pongs[: len(wanted.pongs)], code=wanted.code)
    assert heard == wanted


@pytest.mark.parametrize("size", [1, 600])
def test_bytes_that_are_no_frames_end_it(size: int) -> None:
    heard = asyncio.run(hold([b"\xff" * size, b"GET / HTTP/1.1\r\n\r\n"]))
    assert (heard.messages, heard.pongs) == ([], [])
    assert heard.code == 1002
