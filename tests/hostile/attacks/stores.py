"""What one credential may take of what is kept or shared: kept answers, streams, exports, history."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import suppress

from tests.hostile.attack import Target, attack
from tests.hostile.lines import connect, flood, hold, request

OTHER = "127.0.0.7"
"""Where somebody else comes from."""


@attack("device token", "an Idempotency-Key of its own for each of very many bodies with long answers", rss_mib=64)
async def kept_answers(target: Target) -> AsyncIterator[None]:
    numbers = itertools.count(time.time_ns())
    mine = target.bearer("device")
    wrong = b"[" + b",".join([b'{"values":{"a b":1}}'] * 300) + b"]"

    def make() -> bytes:
        key = b"Idempotency-Key: k%d\r\n" % next(numbers)
        return request("POST", "/v1/devices/press-1/readings?errors=all", mine, key, body=wrong)

    yield
    await flood(target, make, lines=8)


@attack("device token", "more streams than there are, and then another reader wants one", rss_mib=96, share=1.5)
async def all_streams(target: Target) -> AsyncIterator[None]:
    opening = request("GET", "/v1/stream?device=press-1&snapshot=false", target.bearer("device"))
    lines = 2_100 * target.place.workers
    yield
    holding = asyncio.ensure_future(hold(target, opening, lines=lines, every=1, address=lambda: "127.0.0.66"))
    await asyncio.sleep(target.left / 2)
    status = await _head(target, request("GET", "/v1/stream?snapshot=false", target.bearer("reader")))
    target.expect(that=status == 200, else_say=f"another reader's stream is answered {status}")
    await holding


@attack("reader", "every export that there is, and then another key wants one", rss_mib=96)
async def all_exports(target: Target) -> AsyncIterator[None]:
    lines = b"Accept: application/x-ndjson\r\n"
    path = "/v1/readings?device=honest-0,honest-1,bulk&from=-24h"
    opening = request("GET", path, target.bearer("reader"), lines)
    yield
    holding = asyncio.ensure_future(
        hold(
            target,
            opening,
            lines=16 * target.place.workers,
            every=1,
            address=lambda: "127.0.0.66",
            window=4096,
            takes=64,
        )
    )
    await asyncio.sleep(target.left / 2)
    status = await _head(target, request("GET", path, target.bearer("admin"), lines))
    target.expect(that=status == 200, else_say=f"another key's export is answered {status}")
    await holding


@attack("reader", "charts and buckets over all there is, many at once", rss_mib=96, in_short=False)
async def dear_questions(target: Target) -> AsyncIterator[None]:
    mine = target.bearer("reader")
    paths = itertools.cycle(
        [
            "/v1/readings?device=honest-0,honest-1,bulk&from=-24h&points=5000",
            "/v1/readings?device=honest-0,bulk&from=-24h&every=1s&fn=avg,max,min",
            "/v1/devices/bulk/readings?from=-24h&limit=10000",
            "/v1/devices?limit=1000&offline=true",
            "/v1/metrics?limit=1000",
        ]
    )
    yield
    await flood(target, lambda: request("GET", next(paths), mine), lines=16)


@attack("ingest key", "readings of a day in bodies of 50,000, one after the other", rss_mib=256, in_short=False)
async def bulk(target: Target) -> AsyncIterator[None]:
    began = time.time_ns() // 1_000_000
    mine, turn = target.bearer("ingest"), itertools.count()

    def make() -> bytes:
        first = began - 1_000 * 80_000 - 50_000 * next(turn)
        times = b",".join(map(b"%d".__mod__, range(first, first + 50_000)))
        body = b'{"device":"bulk","ts":[%b],"values":{"t":[%b]}}' % (times, b",".join([b"1.5"] * 50_000))
        return request("POST", "/v1/readings", mine, body=body)

    yield
    await flood(target, make, lines=2)


async def _head(target: Target, data: bytes) -> int:
    """Return the status of an answer that need not end."""
    with suppress(OSError, EOFError, TimeoutError):
        reader, writer = await connect(target, OTHER)
        try:
            writer.write(data)
            async with asyncio.timeout(5):
                return int((await reader.readuntil(b"\r\n\r\n"))[9:12])
        finally:
            writer.transport.abort()
    return 0
