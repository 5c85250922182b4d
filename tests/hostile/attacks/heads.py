"""Heads that are long, many or malformed."""

import os
import random
from collections.abc import AsyncIterator
from contextlib import suppress

from tests.hostile.attack import Target, attack
from tests.hostile.lines import answer, connect, flood, push, request

LONG = 7_000
HOST = b"Host: g\r\n"


@attack("stranger", "query strings as long as a head may be", rss_mib=32)
async def long_queries(target: Target) -> AsyncIterator[None]:
    requests = [
        request("GET", "/v1/readings?" + "&".join(f"a{i}=%{i % 100:02}" for i in range(LONG // 9))),
        request("GET", "/livez?" + "&" * LONG),
        request("GET", "/v1/stream?device=" + "," * LONG, target.bearer("reader")),
        request("GET", "/v1/readings?device=" + ",".join("d" * (LONG // 2)), target.bearer("reader")),
        request("GET", "/" + "%2e%2e/" * (LONG // 7)),
    ]
    yield
    await flood(target, lambda: random.choice(requests), lines=8)


@attack("stranger", "heads of a thousand fields, and heads without end", rss_mib=32, in_short=False)
async def long_heads(target: Target) -> AsyncIterator[None]:
    many = request("GET", "/livez", *(b"X-%d: y\r\n" % i for i in range(1_000)))
    endless = b"GET / HTTP/1.1\r\n" + b"X: " + b"y" * 2**20
    yield
    await push(target, many + endless, lines=4)


@attack("stranger", "bytes that are no HTTP", rss_mib=32, in_short=False)
async def noise(target: Target) -> AsyncIterator[None]:
    pieces = [os.urandom(4_000) + b"\r\n\r\n" for _ in range(200)]
    pieces += [
        b"\x16\x03\x01\x02\x00\x01\x00\x01" + os.urandom(500),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\0" * 5_000,
    ]
    yield
    await flood(target, lambda: random.choice(pieces) + b"\r\n\r\n", lines=8)


POST = b"POST /v1/readings HTTP/1.1\r\nHost: g\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
LIVEZ = b"GET /livez HTTP/1.1\r\nHost: g\r\n"
LOOSE = {
    "a blank before the colon": POST + b"Content-Length : 41\r\n\r\n",
    "a blank before the colon of a coding": POST + b"Transfer-Encoding : chunked\r\n\r\n",
    "a folded line": LIVEZ + b"X: y\r\n folded\r\n\r\n",
    "a bare LF": b"GET /livez HTTP/1.1\nHost: g\n\n\r\n\r\n",
    "a bare LF within": LIVEZ + b"X: y\nContent-Length: 3\r\n\r\nabc",
    "a bare CR": LIVEZ + b"X: a\rb\r\n\r\n",
    "a NUL": LIVEZ + b"X: a\0b\r\n\r\n",
    "digits of another alphabet": POST + "Content-Length: ５０\r\n\r\n".encode() + b"x" * 50,
    "a length with a sign": POST + b"Content-Length: +2\r\n\r\n{}",
    "two lengths": POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "a length and a coding": POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a coding that is not the last": POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "a chunk size of C": CHUNKED + b"0x2\r\n{}\r\n0\r\n\r\n",
    "a chunk without its end": CHUNKED + b"2\r\n{}0\r\n\r\n",
    "a chunk size with a blank": CHUNKED + b" 2\r\n{}\r\n0\r\n\r\n",
    "no Host": b"GET /livez HTTP/1.1\r\n\r\n",
    "two Hosts": b"GET /livez HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
}
"""What RFC 9112 has refused: it means one thing to one reader and another to the next. Each must be answered 400, and
the connection be closed."""


@attack("stranger", "requests that RFC 9112 has refused: each with 400, and the connection closed", rss_mib=32)
async def loose_heads(target: Target) -> AsyncIterator[None]:
    yield
    while not target.is_over():
        for what, data in LOOSE.items():
            status, is_closed = await _ask(target, data.replace(HOST, HOST + target.bearer("device"), 1))
            target.count(str(status))
            target.expect(that=status == 400, else_say=f"{what}: answered {status}")
            target.expect(that=is_closed, else_say=f"{what}: the connection goes on")


async def _ask(target: Target, data: bytes) -> tuple[int, bool]:
    """Return what is answered, and whether nothing is served after that."""
    try:
        reader, writer = await connect(target)
        try:
            writer.write(data)
            status, _ = await answer(reader)
            writer.write(request("GET", "/livez"))
            with suppress(OSError, EOFError):
                await answer(reader)
                return status, False
        finally:
            writer.transport.abort()
    except (OSError, EOFError, TimeoutError):
        return 0, True
    return status, True
