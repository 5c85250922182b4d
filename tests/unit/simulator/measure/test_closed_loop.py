"""The closed loop against servers that answer well, in pieces, badly, or not at all."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from simulator.core.errors import Unreachable, UsageError
from simulator.measure.bench import closed_loop
from simulator.measure.bench.closed_loop import call, parse_plain
from simulator.measure.bench.gateway import Gateway
from simulator.measure.bench.tally import Tally
from tests.unit.simulator.listening import listening

Answer = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]
GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Request-Id: 1\r\n\r\nok"


@asynccontextmanager
async def answering(answer: Answer) -> AsyncIterator[tuple[Gateway, list[bytes]]]:
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
        yield Gateway.parse(f"http://127.0.0.1:{port}/prefix", key="secret"), seen


async def run(gateway: Gateway, count: int, *, connections: int = 4, patience: float = 60.0) -> Tally:
    tally = Tally(lambda status, body: "" if (status, body) == (200, b"ok") else f"http_{status}", items=1)
    bodies = (b"%d" % i for i in range(count))
    requests = (gateway.head("/x", len(body)) + body for body in bodies)
    await call(gateway, requests, tally, connections=connections, clock=time.monotonic, patience=patience)
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
    monkeypatch.setattr(closed_loop, "GRACE_S", 0.05)

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


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (GOOD, (200, b"ok")),
        (GOOD.replace(b"Content-Length", b"content-length"), (200, b"ok")),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", (404, b"")),
        (GOOD[:-1], None),
        (GOOD + b"x", None),
        (GOOD[:30], None),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", None),
        (b"HTTP/1.1 2x0 OK\r\nContent-Length: 2\r\n\r\nok", None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok", None),
        (b"HTTP/1.1 204 No Content\r\n\r\n", None),
        (b"HTTP/1.1 200 OK\r\nX: 1\r\n\r\ncontent-length: 0\r\n", None),
        (b"", None),
    ],
)
def test_the_short_cut_takes_only_what_is_plain(data: bytes, found: tuple[int, bytes] | None) -> None:
    assert parse_plain(data) == found


@pytest.mark.parametrize("url", ["nowhere", "ftp://x", "http://", "http://x:0", "http://x:99999"])
def test_what_is_no_address_of_a_gateway_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="http://host:port"):
        Gateway.parse(url, key="")
