"""SocketWire: frames that come too fast wait, and nothing gets between the parts of a message."""

import asyncio

from gateway.web.handlers.websocket_protocol import FRAMES_AT_ONCE, FRAMES_PER_SEC, SLICE_BYTES
from tests.builders.socket_link import CLOSE, PONG, Link, parse

PING = b"\x89\x80abcd"
TEXT = 1
LARGE = b"x" * 100_000


async def test_frames_are_read_at_a_rate_when_there_are_very_many() -> None:
    link = Link()
    wire = link.open()
    began = asyncio.get_running_loop().time()
    wire.data_received(PING * 10_000)
    while len(parse(bytes(link.written))) < FRAMES_AT_ONCE:  # noqa: ASYNC110 - it goes on by itself
        await asyncio.sleep(0)
    for _ in range(1000):
        await asyncio.sleep(0)
    secs = asyncio.get_running_loop().time() - began
    most = FRAMES_AT_ONCE + secs * FRAMES_PER_SEC + 2 * SLICE_BYTES / len(PING)
    assert FRAMES_AT_ONCE <= len(parse(bytes(link.written))) <= most
    assert not link.reading
    wire.connection_lost(None)


async def test_nothing_gets_between_the_parts_of_a_message() -> None:
    link = Link()
    wire = link.open()
    link.room.clear()
    sending = asyncio.create_task(wire.send(LARGE), name="sending")
    await asyncio.sleep(0)
    wire.data_received(PING)
    wire.ping()
    assert not link.reading
    link.room.set()
    await sending
    assert parse(bytes(link.written)) == [(TEXT, LARGE), (PONG, b"")]
    wire.connection_lost(None)


async def test_who_takes_no_pongs_is_not_read() -> None:
    link = Link()
    wire = link.open()
    wire.data_received(PING)
    link.room.clear()
    for _ in range(10):
        wire.data_received(PING)
        assert not link.reading
    assert parse(bytes(link.written)) == [(PONG, b"")]
    link.room.set()
    wire.resume_writing()
    assert parse(bytes(link.written)) == [(PONG, b"")] * 11
    assert link.reading
    wire.connection_lost(None)


async def test_the_last_word_is_the_last_and_what_comes_after_it_is_dropped() -> None:
    link = Link()
    wire = link.open()
    wire.data_received(b"\x83\x80abcd" + PING * 5)
    [(opcode, payload)] = parse(bytes(link.written))
    assert (opcode, int.from_bytes(payload[:2], "big")) == (CLOSE, 1002)
    assert link.reading  # so that it is heard
    assert link.is_over
    for _ in range(100):
        wire.data_received(PING * 1000)
    wire.end_connection()
    assert len(parse(bytes(link.written))) == 1
    wire.connection_lost(None)


async def test_who_is_gone_is_not_read_on() -> None:
    failed: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failed.append(context))
    link = Link()
    wire = link.open()
    wire.data_received(PING * 500)
    assert not link.reading
    before = len(link.written)
    wire.connection_lost(None)
    for _ in range(100):
        await asyncio.sleep(0)
    assert await wire.receive() is None
    assert (failed, len(link.written)) == ([], before)
