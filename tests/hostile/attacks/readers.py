"""Readers that ask for much and take little."""

from collections.abc import AsyncIterator

from tests.hostile.attack import Target, attack
from tests.hostile.lines import HOME, hold, request
from tests.hostile.sockets import HANDSHAKE, text

SMALL = 4096
"""Bytes that the system may keep for a slow reader."""
LINES = 300


async def slow(target: Target, opening: bytes, *, lines: int = LINES) -> None:
    """Ask, and take a few bytes a second."""
    await hold(target, opening, lines=lines, every=1.0, address=lambda: HOME, window=SMALL, takes=64)


@attack("stranger", "300 readers of the largest page that take 64 bytes a second", rss_mib=64)
async def slow_pages(target: Target) -> AsyncIterator[None]:
    yield
    await slow(target, request("GET", "/docs/swagger-ui.js"))


@attack(
    "stranger",
    "300 readers who ask ten times for the document of the API, and take nothing",
    rss_mib=64,
    in_short=False,
)
async def slow_documents(target: Target) -> AsyncIterator[None]:
    yield
    await slow(target, 10 * request("GET", "/openapi.json"))


@attack("stranger", "300 scrapers of the metrics that take nothing", rss_mib=64, in_short=False)
async def slow_scrapers(target: Target) -> AsyncIterator[None]:
    yield
    await slow(target, 10 * request("GET", "/metrics"))


@attack("reader", "200 streams of all changes that take nothing", rss_mib=128)
async def slow_streams(target: Target) -> AsyncIterator[None]:
    yield
    await slow(target, request("GET", "/v1/stream", target.bearer("reader")), lines=200)


@attack("reader", "100 WebSockets with ten subscriptions each that take nothing", rss_mib=128, in_short=False)
async def slow_sockets(target: Target) -> AsyncIterator[None]:
    wanted = b"".join(text(b'{"type":"subscribe","id":"%d"}' % i) for i in range(10))
    opening = request("GET", "/v1/ws", HANDSHAKE, target.bearer("reader")) + wanted
    yield
    await slow(target, opening, lines=100)


@attack("reader", "50 exports of all readings that take nothing", rss_mib=96)
async def slow_exports(target: Target) -> AsyncIterator[None]:
    data = request(
        "GET", "/v1/readings?device=honest-0,honest-1&from=-24h", target.bearer("reader"), b"Accept: text/csv\r\n"
    )
    yield
    await slow(target, data, lines=50)


@attack(
    "reader", "100 readers of pages of history and of all newest states that take nothing", rss_mib=96, in_short=False
)
async def slow_states(target: Target) -> AsyncIterator[None]:
    question = b'{"prefix":"honest-"}'
    data = 20 * request("POST", "/v1/states:query", target.bearer("reader"), body=question)
    yield
    await slow(target, data, lines=100)
