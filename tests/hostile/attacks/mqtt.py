"""Neighbours on the broker: who may publish there, and means no good."""

import asyncio
import itertools
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

from tests.hostile import packets
from tests.hostile.attack import Target, attack

MINE, NAMES = "devices/press-1/readings", "devices/press-4/readings"
WINDOW = 500
"""Messages on the way to the broker that it has not acknowledged."""

Make = Callable[[int], bytes]


async def session(target: Target, name: str = "") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Log in at the broker."""
    reader, writer = await asyncio.open_connection("127.0.0.1", target.place.broker)
    writer.write(packets.connect(name or f"hostile-{secrets.token_hex(4)}"))
    await packets.read(reader)
    return reader, writer


async def publish(target: Target, make: Make, *, qos0: bool = False, window: int = WINDOW) -> None:
    """Publish as fast as the broker takes it; `make` gets the packet id."""
    reader, writer = await session(target)
    numbers, on_the_way = itertools.cycle(range(1, 60_000)), 0
    with suppress(OSError, EOFError):
        while not target.is_over():
            for _ in range(50):
                writer.write(make(0 if qos0 else next(numbers)))
                target.count("published")
            on_the_way += 0 if qos0 else 50
            await writer.drain()
            while on_the_way > window and not target.is_over():
                async with asyncio.timeout(target.left + 0.5):
                    kind, _ = await packets.read(reader)
                on_the_way -= kind == packets.PUBACK
            await asyncio.sleep(0)
    writer.transport.abort()


@attack("neighbour", "messages that cannot be read, to be kept as dead letters", rss_mib=96)
async def dead_letters(target: Target) -> AsyncIterator[None]:
    junk = secrets.token_bytes(30_000)
    yield
    await publish(target, lambda mid: packets.publish(MINE, junk, mid=mid), window=100)


@attack("neighbour", "messages of which every item is wrong, each with a reason", rss_mib=96, in_short=False)
async def wrong_items(target: Target) -> AsyncIterator[None]:
    wrong = b"[" + b",".join([b'{"values":{"a b":1}}'] * 2_000) + b"]"
    yield
    await publish(target, lambda mid: packets.publish(MINE, wrong, mid=mid), window=100)


@attack("neighbour", "messages as large as they may be, of columns", rss_mib=192, in_short=False)
async def large_messages(target: Target) -> AsyncIterator[None]:
    cells = b",".join([b"1"] * 90_000)
    body = b'{"ts":[%b],"values":{"t":[%b]}}' % (cells, cells)
    yield
    await publish(target, lambda mid: packets.publish(MINE, body, mid=mid), window=50)


@attack("neighbour", "numbers below the smallest double, in messages of a megabyte", rss_mib=192)
async def numbers_over_mqtt(target: Target) -> AsyncIterator[None]:
    body = b'{"ts":[%b],"values":{"t":[1]}}' % b",".join([b"1e-400"] * 140_000)
    yield
    await publish(target, lambda mid: packets.publish(MINE, body, mid=mid), window=50)


@attack("neighbour", "a message from one device after the other that nobody has heard of", rss_mib=96)
async def new_devices_over_mqtt(target: Target) -> AsyncIterator[None]:
    numbers = itertools.count(secrets.randbelow(10**9) * 10**6)

    def make(mid: int) -> bytes:
        return packets.publish(f"devices/new-{next(numbers)}/readings", b'{"values":{"t":1}}', mid=mid)

    yield
    await publish(target, make)


@attack(
    "neighbour", "a message with a metric that nobody has heard of, one after the other", rss_mib=64, in_short=False
)
async def new_names_over_mqtt(target: Target) -> AsyncIterator[None]:
    numbers = itertools.count(secrets.randbelow(10**9) * 10**6)
    yield
    await publish(target, lambda mid: packets.publish(NAMES, b'{"values":{"m%d":1}}' % next(numbers), mid=mid))


@attack("neighbour", "good messages with QoS 0, as fast as the broker takes them", rss_mib=96, in_short=False)
async def qos0_flood(target: Target) -> AsyncIterator[None]:
    numbers = itertools.count(1_790_000_000_000)
    yield
    await publish(
        target, lambda _: packets.publish(MINE, b'{"ts":%d,"values":{"t":1}}' % next(numbers), mid=0), qos0=True
    )


@attack("neighbour", "good messages with QoS 1, as fast as the broker takes them", rss_mib=96)
async def qos1_flood(target: Target) -> AsyncIterator[None]:
    numbers = itertools.count(1_790_000_000_000)
    yield
    await publish(target, lambda mid: packets.publish(MINE, b'{"ts":%d,"values":{"t":1}}' % next(numbers), mid=mid))


@attack("neighbour", "empty messages, retained ones, and topics of odd names", rss_mib=48, in_short=False)
async def odd_topics(target: Target) -> AsyncIterator[None]:
    topics = itertools.cycle(
        ["devices/a b/readings", "devices/$x/readings", "devices/" + "d" * 5_000 + "/readings", MINE]
    )
    payloads = itertools.cycle([b"", b"{}", b"\0", b"[]", b"\xff\xfe"])
    yield
    await publish(target, lambda mid: packets.publish(next(topics), next(payloads), mid=mid, retain=mid % 9 == 0))


@attack("neighbour", "receipts that are to go to another device, to itself as a reading, to the broker", rss_mib=48)
async def forged_receipts(target: Target) -> AsyncIterator[None]:
    reader, writer = await session(target)
    writer.write(packets.subscribe("devices/press-2/#") + packets.subscribe("$SYS/#"))
    await packets.read(reader)
    answers = itertools.cycle(
        ["devices/press-2/receipts", "devices/press-2/commands", "devices/press-2/readings", MINE]
    )
    numbers = itertools.count(1_790_000_000_000)

    def make(mid: int) -> bytes:
        body = b'{"ts":%d,"values":{"t":1}}' % next(numbers)
        return packets.publish(MINE, body, mid=mid, answer_on=next(answers), about=b"forged")

    yield
    listening = asyncio.ensure_future(_forged(target, reader))
    await publish(target, make, window=50)
    await asyncio.sleep(0.3)
    listening.cancel()
    writer.transport.abort()


async def _forged(target: Target, reader: asyncio.StreamReader) -> None:
    """Note every receipt that comes to press-2 and begins on press-1."""
    with suppress(OSError, EOFError):
        while True:
            kind, body = await packets.read(reader)
            if kind == packets.PUBLISH and b"devices/press-2" in body[:40]:
                target.count("forged")
                target.expect(that=False, else_say="what press-1 sent was answered to press-2")
