"""One connection that brings very many small things at once."""

from collections.abc import AsyncIterator

from tests.hostile.attack import Target, attack
from tests.hostile.lines import push, request
from tests.hostile.sockets import CONTINUATION, FIN, HANDSHAKE, PING, TEXT, frame, text

PIECE = 2**18
"""Bytes that are sent in one go."""


def full(piece: bytes) -> bytes:
    """Return as many of these as go."""
    return piece * (PIECE // len(piece))


@attack("reader", "WebSocket fragments without a byte in them, and without end", rss_mib=32)
async def empty_fragments(target: Target) -> AsyncIterator[None]:
    handshake = request("GET", "/v1/ws", HANDSHAKE, target.bearer("reader"))
    data = full(frame(CONTINUATION))
    yield
    await push(target, data, opening=frame(TEXT), handshake=handshake)


@attack("reader", "WebSocket fragments of a byte each", rss_mib=32, in_short=False)
async def small_fragments(target: Target) -> AsyncIterator[None]:
    handshake = request("GET", "/v1/ws", HANDSHAKE, target.bearer("reader"))
    data = full(frame(TEXT, b"x") + 500 * frame(CONTINUATION, b"x") + frame(FIN | CONTINUATION))
    yield
    await push(target, data, handshake=handshake)


@attack("reader", "WebSocket pings, as fast as they go", rss_mib=32)
async def pings(target: Target) -> AsyncIterator[None]:
    handshake = request("GET", "/v1/ws", HANDSHAKE, target.bearer("reader"))
    data = full(frame(FIN | PING, b"x" * 20))
    yield
    await push(target, data, handshake=handshake)


@attack("reader", "subscriptions that come and go, and messages that mean nothing", rss_mib=48, in_short=False)
async def socket_messages(target: Target) -> AsyncIterator[None]:
    handshake = request("GET", "/v1/ws", HANDSHAKE, target.bearer("reader"))
    data = full(
        text(b'{"type":"subscribe","id":"x"}')
        + text(b'{"type":"unsubscribe","id":"x"}')
        + text(b"{}")
        + text(b"nonsense")
    )
    yield
    await push(target, data, handshake=handshake)


@attack(
    "stranger", "requests without end on one connection, for health and for addresses that there are not", rss_mib=32
)
async def pipelined(target: Target) -> AsyncIterator[None]:
    data = full(request("GET", "/livez") + request("GET", "/nowhere") + request("GET", "/v1/devices"))
    yield
    await push(target, data)


@attack("device token", "posts and reads without end on one connection", rss_mib=48)
async def pipelined_posts(target: Target) -> AsyncIterator[None]:
    mine = target.bearer("device")
    post = request("POST", "/v1/devices/press-1/readings", mine, body=b'{"ts":1790000000000,"values":{"t":1}}')
    data = full(post + request("GET", "/v1/devices/press-1/state", mine))
    yield
    await push(target, data)


@attack("stranger", "a body in chunks of a byte each, without a token", rss_mib=32)
async def small_chunks(target: Target) -> AsyncIterator[None]:
    opening = b"POST /v1/readings HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n"
    data = full(b"1\r\nx\r\n")
    yield
    await push(target, data, opening=opening, lines=2)


@attack("device token", "bodies in chunks of a byte each, one after the other", rss_mib=48)
async def small_chunks_of_a_device(target: Target) -> AsyncIterator[None]:
    head = b"POST /v1/devices/press-1/readings HTTP/1.1\r\nHost: g\r\n%bTransfer-Encoding: chunked\r\n\r\n"
    data = head % target.bearer("device") + b"1\r\n \r\n" * 1_000_000 + b"0\r\n\r\n"
    yield
    await push(target, data)


@attack("device token", "chunks with extensions of a kilobyte, and trailers", rss_mib=48, in_short=False)
async def chunk_extensions(target: Target) -> AsyncIterator[None]:
    head = b"POST /v1/devices/press-1/readings HTTP/1.1\r\nHost: g\r\n%bTransfer-Encoding: chunked\r\n\r\n"
    data = head % target.bearer("device") + (b"1;%b\r\n \r\n" % (b"x=y;" * 250)) * 250 + b"0\r\nX: y\r\n\r\n"
    yield
    await push(target, data)


@attack("stranger", "empty lines before a request, without end", rss_mib=32, in_short=False)
async def empty_lines(target: Target) -> AsyncIterator[None]:
    yield
    await push(target, full(b"\r\n"))
