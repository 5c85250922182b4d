"""The loops against servers that answer well, in pieces, badly, or not at all."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

import pytest

from simulator.core.errors import Unreachable
from simulator.measure.bench import loops
from simulator.measure.bench.loops import send_all
from simulator.measure.bench.results import Tally, Window
from simulator.send.drivers.http import HttpClient, Request
from tests.fakes.listening import listening

Answer = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]
GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Request-Id: 1\r\n\r\nok"


@asynccontextmanager
async def answering(answer: Answer) -> AsyncIterator[tuple[HttpClient, list[bytes]]]:
    """Serve; yield what leads there, and the bodies that came in."""
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not writer.is_closing():
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
            seen.append(await reader.readexactly(length))
            await answer(seen[-1], writer)
            await writer.drain()

    async with listening(serve) as port:
        yield HttpClient(f"http://127.0.0.1:{port}/prefix", key="secret"), seen


def judge(status: int, body: bytes) -> str:
    return "" if (status, body) == (200, b"ok") else f"http_{status}"


def numbered(gateway: HttpClient, count: int) -> Iterator[bytes]:
    bodies = (b"%d" % i for i in range(count))
    return (gateway.head(Request("POST", "/x"), len(body)) + body for body in bodies)


async def run(gateway: HttpClient, count: int, *, connections: int = 4, patience: float = 60.0) -> Tally:
    tally = Tally(judge, items=1)
    window = Window(patience, clock=time.monotonic)
    await send_all(gateway, numbered(gateway, count), tally, window, connections=connections)
    return tally


async def good(_: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(GOOD)


async def test_every_request_is_sent_once_and_answered() -> None:
    async with answering(good) as (gateway, seen):
        tally = await run(gateway, 500)
    assert sorted(map(int, seen)) == list(range(500))
    assert (tally.answers, tally.faults) == (500, {})


async def test_more_connections_than_requests() -> None:
    async with answering(good) as (gateway, seen):
        tally = await run(gateway, 3, connections=8)
    assert (tally.answers, len(seen)) == (3, 3)


@pytest.mark.parametrize("size", [1, 7, 20, 45])
async def test_answers_may_come_in_pieces_and_in_chunks(size: int) -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n"

    async def pieces(body: bytes, writer: asyncio.StreamWriter) -> None:
        whole = chunked if int(body) % 2 else GOOD
        for at in range(0, len(whole), size):
            writer.write(whole[at : at + size])
            await writer.drain()
            await asyncio.sleep(0)

    async with answering(pieces) as (gateway, _):
        tally = await run(gateway, 20)
    assert (tally.answers, tally.faults) == (20, {})


async def test_an_answer_that_says_no_is_counted_and_does_not_end_the_loop() -> None:
    async def sometimes(body: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n" if int(body) % 5 == 0 else GOOD)

    async with answering(sometimes) as (gateway, _):
        tally = await run(gateway, 20)
    assert (tally.answers, tally.faults) == (16, {"http_503": 4})


async def test_connections_that_break_are_counted() -> None:
    async def hang_up(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with answering(hang_up) as (gateway, _):
        tally = await run(gateway, 100)
    assert (tally.answers, tally.faults) == (0, {"connection_lost": 4})


async def test_what_is_no_http_ends_the_connection() -> None:
    async def babble(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n\r\n")

    async with answering(babble) as (gateway, _):
        tally = await run(gateway, 100, connections=2)
    assert (tally.answers, tally.faults) == (0, {"connection_lost": 2})


async def test_a_server_that_falls_silent_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "GRACE_S", 0.05)

    async def silent(_: bytes, __: asyncio.StreamWriter) -> None:
        return

    async with answering(silent) as (gateway, _):
        tally = await run(gateway, 100, patience=0.05)
    assert (tally.answers, tally.faults) == (0, {"no_answer": 4})


async def test_nobody_there_is_a_sentence() -> None:
    async with answering(good) as (gateway, _):
        pass
    with pytest.raises(Unreachable, match="does not answer"):
        await run(gateway, 1)


async def test_a_window_that_closes_ends_the_loop() -> None:
    async with answering(good) as (gateway, seen):
        tally, window = Tally(judge, items=1), Window(60.0, clock=time.monotonic)

        def requests() -> Iterator[bytes]:
            for number, request in enumerate(numbered(gateway, 10**6)):
                if number == 49:
                    window.close()
                yield request

        await send_all(gateway, requests(), tally, window, connections=4)
    assert (tally.answers, tally.faults, len(seen)) == (50, {}, 50)


async def test_an_open_loop_sends_at_its_rate_whatever_is_answered() -> None:
    async def slowly(body: bytes, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.2 if int(body) == 0 else 0.0)
        writer.write(GOOD)

    async with answering(slowly) as (gateway, seen):
        tally = Tally(judge, items=1)
        await send_all(gateway, numbered(gateway, 10**6), tally, Window(1.0, clock=time.monotonic), rate=100.0)
    assert tally.elapsed >= 0.9
    assert len(seen) + tally.faults["unsent"] == 100
    assert tally.answers == len(seen)
    assert tally.times().p999 > 150


async def test_an_open_loop_ends_soon_when_its_connections_break() -> None:
    async def hang_up(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with answering(hang_up) as (gateway, _):
        tally = Tally(judge, items=1)
        await send_all(gateway, numbered(gateway, 10**6), tally, Window(0.2, clock=time.monotonic), rate=100.0)
    assert tally.answers == 0
    assert tally.faults["connection_lost"] + tally.faults["unsent"] == 20
