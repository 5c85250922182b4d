"""Connections that end when nobody expects it."""

from collections.abc import AsyncIterator

from tests.hostile.attack import Target, attack
from tests.hostile.lines import connect_now, request, reset


def cut(target: Target, opening: bytes) -> None:
    """Open, send, reset; over and over until time is over."""
    while not target.is_over():
        try:
            made = connect_now(target)
            made.sendall(opening)
            reset(made)
            target.count("aborted")
        except OSError:
            target.count("no connection")


@attack("stranger", "connections reset within a body", rss_mib=24, share=3)
async def aborted_bodies(target: Target) -> AsyncIterator[None]:
    yield
    cut(target, b"POST /v1/readings HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer x\r\nContent-Length: 900\r\n\r\n{")


@attack("stranger", "connections reset within a chunked body", rss_mib=24, in_short=False)
async def aborted_chunks(target: Target) -> AsyncIterator[None]:
    yield
    cut(target, b"POST /v1/readings HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab")


@attack("stranger", "connections reset within a head", rss_mib=24, in_short=False)
async def aborted_heads(target: Target) -> AsyncIterator[None]:
    yield
    cut(target, b"GET /livez HTTP/1.1\r\nHost: g\r\nX: ")


@attack("stranger", "connections reset before the answer of a large page", rss_mib=24)
async def aborted_answers(target: Target) -> AsyncIterator[None]:
    yield
    cut(target, request("GET", "/docs/swagger-ui.js"))


@attack("device token", "connections reset while a reading waits for its commit", rss_mib=32)
async def aborted_commits(target: Target) -> AsyncIterator[None]:
    data = request("POST", "/v1/devices/press-1/readings", target.bearer("device"), body=b'{"values":{"t":1}}')
    yield
    cut(target, data)


@attack("reader", "streams reset as soon as they are asked for", rss_mib=32, in_short=False)
async def aborted_streams(target: Target) -> AsyncIterator[None]:
    data = request("GET", "/v1/stream?snapshot=false", target.bearer("reader"))
    yield
    cut(target, data)
