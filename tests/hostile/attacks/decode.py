"""Bodies that cost more to read than to send, under a device's own token or an ingest key."""

import gzip
import itertools
import json
from collections.abc import AsyncIterator, Callable, Iterator

from tests.hostile.attack import Target, attack
from tests.hostile.lines import flood, request

FULL = 32 * 2**20 - 2**16
"""Bytes after decompression: just below what is taken (http.max_inflated_bytes)."""
ROOM = 8 * 2**20 - 2**16
"""Bytes as sent: just below what is taken (http.max_body_bytes)."""
DEVICE, INGEST = "/v1/devices/press-1/readings", "/v1/readings"
NOW = 1_790_000_000_000


def post(target: Target, body: bytes, *lines: bytes, who: str = "device") -> bytes:
    """Return a post of readings."""
    path = {"device": DEVICE, "names": "/v1/devices/press-4/readings"}.get(who, INGEST)
    return request("POST", path, target.bearer(who), *lines, body=body)


def squeezed(target: Target, body: bytes, *, who: str = "device", level: int = 9) -> bytes:
    """Return a post of a body in gzip."""
    return post(target, gzip.compress(body, level), b"Content-Encoding: gzip\r\n", who=who)


def always(data: bytes) -> Callable[[], bytes]:
    """Return a maker of one and the same request."""
    return lambda: data


def in_turn(requests: list[bytes]) -> Callable[[], bytes]:
    """Return a maker that gives these one after the other, over and over."""
    turns: Iterator[bytes] = itertools.cycle(requests)
    return lambda: next(turns)


def columns(cell: bytes, size: int) -> bytes:
    """Return a body of one column of equal cells, `size` bytes in all."""
    count = size // (len(cell) + 1)
    return b'{"ts":[%b],"values":{"t":[1]}}' % b",".join([cell] * count)


@attack("device token", "40 KiB of gzip that are four million numbers below the smallest double", rss_mib=160)
async def gzip_numbers(target: Target) -> AsyncIterator[None]:
    data = squeezed(target, columns(b"1e-400", FULL))
    yield
    await flood(target, always(data), lines=2)


@attack("device token", "6 MiB of gzip that are 2.8 million keys", rss_mib=200)
async def gzip_keys(target: Target) -> AsyncIterator[None]:
    body = b'{"values":{%b}}' % b",".join(b'"%x":0' % i for i in range(2_800_000))
    data = squeezed(target, body[:FULL], level=6)
    yield
    await flood(target, always(data), lines=2)


@attack("device token", "gzip of 32 MiB of blanks, on many connections", rss_mib=200)
async def gzip_blanks(target: Target) -> AsyncIterator[None]:
    data = squeezed(target, b" " * FULL)
    yield
    await flood(target, always(data), lines=16)


@attack(
    "device token",
    "gzip of 32 MiB of columns without end: brackets, then numbers, then a wrong last byte",
    rss_mib=200,
    in_short=False,
)
async def gzip_late_mistake(target: Target) -> AsyncIterator[None]:
    count = FULL // 2
    half = count // 2
    body = b'{"ts":[%b],"values":{"t":[%b]}]' % (b",".join([b"1"] * half), b",".join([b"1"] * half))
    data = squeezed(target, body)
    yield
    await flood(target, always(data), lines=2)


@attack("device token", "every body brings 33,000 names of metrics that nobody has heard of", rss_mib=96)
async def new_names(target: Target) -> AsyncIterator[None]:
    bodies = [json.dumps({"values": {f"n{number}.{i}": i for i in range(33_000)}}).encode() for number in range(6)]
    requests = [post(target, body, who="names") for body in bodies]
    yield
    await flood(target, in_turn(requests), lines=4)


@attack("device token", "each message of a body has a metric of its own, 20,000 in all", rss_mib=96, in_short=False)
async def new_shapes(target: Target) -> AsyncIterator[None]:
    requests = [
        post(
            target,
            json.dumps([{"ts": NOW + i, "values": {f"s{i}.{number}": 1}} for i in range(20_000)]).encode(),
            who="names",
        )
        for number in range(4)
    ]
    yield
    await flood(target, in_turn(requests), lines=4)


@attack("ingest key", "each message of a body is of a device that nobody has heard of", rss_mib=96)
async def new_devices(target: Target) -> AsyncIterator[None]:
    requests = [
        post(
            target,
            json.dumps([{"device": f"new-{number}-{i}", "values": {"t": 1}} for i in range(10_000)]).encode(),
            who="ingest",
        )
        for number in range(20)
    ]
    yield
    await flood(target, in_turn(requests), lines=2)


@attack("device token", "millions of brackets, closed and not closed", rss_mib=96)
async def deep_json(target: Target) -> AsyncIterator[None]:
    deep = 4_000_000
    requests = [
        post(target, b"[" * 2 * deep),
        post(target, b"[" * (deep // 2) + b"]" * (deep // 2)),
        post(target, b'{"values":' * (deep // 6)),
        post(target, b'{"values":{"t":1},"x":' + b"[" * 900 + b"]" * 900 + b"}"),
    ]
    yield
    await flood(target, in_turn(requests), lines=4)


@attack("device token", "100,000 items, no two alike, each wrong in another way", rss_mib=128)
async def all_wrong(target: Target) -> AsyncIterator[None]:
    kinds = (
        '{"ts":"yesterday","values":{"t":1}}',
        '{"values":{"a b":1}}',
        '{"values":{"t":null}}',
        '{"metric":"t","value":[1]}',
        '{"values":{"t":"\\u0000"}}',
        '{"values":{"t":1,"t":2}}',
        '{"unknown":%d}',
        "%d",
    )
    body = "[" + ",".join(kinds[i % 8].replace("%d", str(i)) for i in range(99_000)) + "]"
    data = post(target, body.encode())
    yield
    await flood(target, always(data), lines=2)


@attack("device token", "one key, half a million times in one object; and texts of escapes", rss_mib=96, in_short=False)
async def repeated_keys(target: Target) -> AsyncIterator[None]:
    same = b'{"values":{%b}}' % b",".join([b'"\\u0074":1'] * 500_000)
    escapes = b'{"values":{"t":"%b"}}' % (b"\\ud83d\\ude00" * 600_000)
    requests = [post(target, same), post(target, escapes)]
    yield
    await flood(target, in_turn(requests), lines=3)


@attack("device token", "numbers of millions of digits", rss_mib=96)
async def long_numbers(target: Target) -> AsyncIterator[None]:
    digits = b"1234567890" * (ROOM // 20)
    requests = [
        post(target, b'{"values":{"t":%b}}' % digits),
        post(target, b'{"values":{"t":0.%b}}' % digits),
        post(target, b'{"values":{"t":1e%b}}' % digits),
        post(target, b'{"ts":%b,"values":{"t":1}}' % digits),
    ]
    yield
    await flood(target, in_turn(requests), lines=3)


@attack("device token", "30,000 messages whose times are texts, all of them odd", rss_mib=96, in_short=False)
async def odd_times(target: Target) -> AsyncIterator[None]:
    odd = ("2026-06-31T23:59:60Z", "2026-01-01 00:00:00.1234567890123+14:00", "9" * 30, "²026-01-01T00:00:00Z")
    body = json.dumps([{"ts": odd[i % 4], "values": {"t": i}} for i in range(30_000)])
    data = post(target, body.encode())
    yield
    await flood(target, always(data), lines=3)


@attack(
    "device token", "repeats of a body of 90,000 stored readings, and conflicts with it", rss_mib=160, in_short=False
)
async def conflicts(target: Target) -> AsyncIterator[None]:
    times = b",".join(b"%d" % (NOW - i) for i in range(45_000))
    requests = [
        post(target, b'{"ts":[%b],"values":{"a":[%b],"b":[%b]}}' % (times, values, values))
        for values in (b",".join([b"%d" % number] * 45_000) for number in range(3))
    ]
    yield
    await flood(target, in_turn(requests), lines=2)
