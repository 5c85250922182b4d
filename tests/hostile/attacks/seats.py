"""Connections that take a seat and say little, or nothing."""

import asyncio
from collections.abc import AsyncIterator

from tests.hostile.attack import Target, attack
from tests.hostile.lines import HOME, anywhere, connect_now, flood, hold, request


def home() -> str:
    return HOME


def many(target: Target) -> int:
    """Return a tenth more connections than all workers have seats for."""
    return target.place.workers * target.place.seats * 11 // 10


@attack(
    "stranger", "more heads than there are seats, which come a byte at a time, from one address", rss_mib=160, share=2
)
async def slow_heads(target: Target) -> AsyncIterator[None]:
    yield
    await hold(target, b"GET /livez HTTP/1.1\r\nHost: g\r\nX: ", lines=many(target), more=b"x", every=3, address=home)


@attack(
    "stranger",
    "more heads than there are seats, which come a byte at a time, each from another address",
    rss_mib=160,
    share=2,
    in_short=False,
)
async def slow_heads_from_everywhere(target: Target) -> AsyncIterator[None]:
    yield
    await hold(
        target, b"GET /livez HTTP/1.1\r\nHost: g\r\nX: ", lines=many(target), more=b"x", every=3, address=anywhere
    )


@attack("stranger", "more connections than there are seats, which say nothing", rss_mib=160, share=2, in_short=False)
async def silent(target: Target) -> AsyncIterator[None]:
    yield
    await hold(target, b"", lines=many(target), every=3, address=anywhere)


@attack("stranger", "more connections than there are seats, kept after a request", rss_mib=160, share=2, in_short=False)
async def idle(target: Target) -> AsyncIterator[None]:
    yield
    await hold(target, request("GET", "/livez"), lines=many(target), every=3, address=anywhere)


@attack(
    "stranger",
    "more connections than there are seats, which pretend to be probes when all seats are taken",
    rss_mib=160,
    share=2,
)
async def false_probes(target: Target) -> AsyncIterator[None]:
    yield
    await hold(
        target, b"GET /livezX HTTP/1.1\r\nHost: g\r\nX: ", lines=many(target), more=b"x", every=3, address=anywhere
    )


@attack("device token", "bodies that come a byte at a time, for a third of the seats", rss_mib=96)
async def slow_bodies(target: Target) -> AsyncIterator[None]:
    head = b"POST /v1/devices/press-1/readings HTTP/1.1\r\nHost: g\r\n%bContent-Length: 900\r\n\r\n{"
    opening = head % target.bearer("device")
    yield
    await hold(target, opening, lines=target.place.seats // 3, more=b" ", every=3, address=home)


@attack("stranger", "connections that are opened and closed as fast as they go", rss_mib=32, share=3)
async def connection_flood(target: Target) -> AsyncIterator[None]:
    yield
    while not target.is_over():
        try:
            connect_now(target).close()
            target.count("opened")
        except OSError:
            target.count("no connection")


@attack("stranger", "connections with a request each, as fast as they go, from everywhere", rss_mib=48, in_short=False)
async def requests_on_new_connections(target: Target) -> AsyncIterator[None]:
    data = request("GET", "/v1/devices/press-1/state", b"Connection: close\r\n")
    yield
    await asyncio.wait_for(flood(target, lambda: data, lines=64, address=anywhere), target.left + 5)
