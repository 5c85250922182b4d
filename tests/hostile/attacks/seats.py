"""Connections that take a seat and say little, or nothing."""

import asyncio
from collections.abc import AsyncIterator

from tests.hostile.attack import Target, attack
from tests.hostile.lines import HOME, anywhere, connect_now, flood, hold, request

SEATS = 11_000
"""More than a worker has by default (http.max_connections)."""


def home() -> str:
    return HOME


@attack("stranger", "11,000 heads that come a byte at a time, from one address", rss_mib=160, share=2)
async def slow_heads(target: Target) -> AsyncIterator[None]:
    yield
    await hold(target, b"GET /livez HTTP/1.1\r\nHost: g\r\nX: ", lines=SEATS, more=b"x", every=3, address=home)


@attack("stranger", "11,000 heads that come a byte at a time, each from another address", rss_mib=160, share=2)
async def slow_heads_from_everywhere(target: Target) -> AsyncIterator[None]:
    yield
    await hold(target, b"GET /livez HTTP/1.1\r\nHost: g\r\nX: ", lines=SEATS, more=b"x", every=3, address=anywhere)


@attack("stranger", "11,000 connections that say nothing", rss_mib=160, share=2)
async def silent(target: Target) -> AsyncIterator[None]:
    yield
    await hold(target, b"", lines=SEATS, every=3, address=anywhere)


@attack("stranger", "11,000 connections that are kept after a request", rss_mib=160, share=2)
async def idle(target: Target) -> AsyncIterator[None]:
    yield
    await hold(target, request("GET", "/livez"), lines=SEATS, every=3, address=anywhere)


@attack("stranger", "11,000 connections that pretend to be probes when all seats are taken", rss_mib=160, share=2)
async def false_probes(target: Target) -> AsyncIterator[None]:
    yield
    await hold(target, b"GET /livezX HTTP/1.1\r\nHost: g\r\nX: ", lines=SEATS, more=b"x", every=3, address=anywhere)


@attack("device token", "3,000 bodies that come a byte at a time", rss_mib=96)
async def slow_bodies(target: Target) -> AsyncIterator[None]:
    head = b"POST /v1/devices/press-1/readings HTTP/1.1\r\nHost: g\r\n%bContent-Length: 900\r\n\r\n{"
    opening = head % target.bearer("device")
    yield
    await hold(target, opening, lines=3_000, more=b" ", every=3, address=home)


@attack("stranger", "connections that are opened and closed as fast as they go", rss_mib=32, share=3)
async def connection_flood(target: Target) -> AsyncIterator[None]:
    yield
    while not target.is_over():
        try:
            connect_now(target).close()
            target.count("opened")
        except OSError:
            target.count("no connection")


@attack("stranger", "connections with a request each, as fast as they go, from everywhere", rss_mib=48)
async def requests_on_new_connections(target: Target) -> AsyncIterator[None]:
    data = request("GET", "/v1/devices/press-1/state", b"Connection: close\r\n")
    yield
    await asyncio.wait_for(flood(target, lambda: data, lines=64, address=anywhere), target.left + 5)
