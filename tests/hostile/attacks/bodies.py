"""Bodies where none is expected, and bodies of nobody."""

import os
from collections.abc import AsyncIterator

from tests.hostile.attack import Target, attack
from tests.hostile.lines import HOME, flood, hold, request

LARGE = 8 * 2**20
HELD = 150


def home() -> str:
    return HOME


def begun(method: str, path: str, size: int) -> bytes:
    """Return a request whose body lacks its last hundred bytes."""
    head = b"%s %s HTTP/1.1\r\nHost: g\r\nContent-Length: %d\r\n\r\n" % (method.encode(), path.encode(), size)
    return head + bytes(size - 100)


@attack(
    "stranger", "150 bodies of 8 MiB to GET /livez, all but their last bytes, held with a byte now and then", rss_mib=64
)
async def get_bodies(target: Target) -> AsyncIterator[None]:
    opening = begun("GET", "/livez", LARGE)
    yield
    await hold(target, opening, lines=HELD, more=b"x", every=5, address=home)


@attack("stranger", "the same in chunks, to DELETE and to addresses that there are not", rss_mib=64)
async def delete_bodies(target: Target) -> AsyncIterator[None]:
    chunk = b"%x\r\n%b\r\n" % (LARGE // 4, bytes(LARGE // 4))
    head = b"DELETE /v1/devices/x HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n"
    opening = head + 3 * chunk + b"ffffff\r\n" + bytes(LARGE // 4)
    yield
    await hold(target, opening, lines=HELD, more=b"x", every=5, address=home)


@attack(
    "stranger",
    "150 posts of 8 MiB with a token that there is not, all but their last bytes",
    rss_mib=64,
    in_short=False,
)
async def unknown_bodies(target: Target) -> AsyncIterator[None]:
    head = (
        b"POST /v1/readings HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer gwd_no\r\nContent-Length: %d\r\n\r\n" % LARGE
    )
    opening = head + bytes(LARGE - 100)
    yield
    await hold(target, opening, lines=HELD, more=b"x", every=5, address=home)


@attack(
    "stranger",
    "whole bodies of a megabyte to routes that want none, and methods that there are not",
    rss_mib=64,
    in_short=False,
)
async def unwanted_bodies(target: Target) -> AsyncIterator[None]:
    body = os.urandom(2**20)
    ways = [("GET", "/readyz"), ("OPTIONS", "/v1/readings"), ("GET", "/nowhere"), ("BREW", "/"), ("HEAD", "/metrics")]
    requests = [request(method, path, body=body) for method, path in ways]
    turn = 0

    def make() -> bytes:
        nonlocal turn
        turn += 1
        return requests[turn % len(requests)]

    yield
    await flood(target, make, lines=8)


@attack("device token", "60 bodies of 8 MiB under one token, held by their last bytes", rss_mib=320)
async def own_bodies(target: Target) -> AsyncIterator[None]:
    path = b"POST /v1/devices/press-1/readings HTTP/1.1\r\nHost: g\r\n"
    opening = path + target.bearer("device") + b"Content-Length: %d\r\n\r\n" % LARGE + bytes(LARGE - 100)
    yield
    await hold(target, opening, lines=60, more=b" ", every=5, address=home)
