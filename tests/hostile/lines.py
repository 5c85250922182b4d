"""Connections of attackers: raw bytes over loopback, from any of its addresses. Nothing here waits for ever."""

import asyncio
import random
import socket
import struct
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress

from tests.hostile.attack import Target

HOME = "127.0.0.66"
"""Where attackers come from: honest clients are elsewhere."""
ANSWER_SECS = 30.0
_LINGER_NOT = struct.pack("ii", 1, 0)

Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def request(method: str, path: str, *lines: bytes, body: bytes = b"") -> bytes:
    """Return a whole request; `lines` are header lines with their ends."""
    length = b"Content-Length: %d\r\n" % len(body) if body else b""
    return b"%s %s HTTP/1.1\r\nHost: g\r\n%b%b\r\n%b" % (method.encode(), path.encode(), b"".join(lines), length, body)


def anywhere() -> str:
    """Return some address of loopback."""
    return f"127.{random.randint(1, 250)}.{random.randint(1, 250)}.{random.randint(1, 250)}"


async def connect(target: Target, address: str = HOME, *, window: int = 0) -> Line:
    """Open a connection; `window`: of so many bytes. Raises OSError."""
    made = socket.socket()
    made.setblocking(False)
    if window:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
    try:
        made.bind((address, 0))
        await asyncio.get_running_loop().sock_connect(made, ("127.0.0.1", target.place.port))
    except OSError:
        made.close()
        raise
    return await asyncio.open_connection(sock=made, limit=window or 2**16)


def connect_now(target: Target, address: str = HOME) -> socket.socket:
    """Open a connection that blocks, for loops that are to be fast. Raises OSError."""
    made = socket.socket()
    try:
        made.settimeout(ANSWER_SECS)
        made.bind((address, 0))
        made.connect(("127.0.0.1", target.place.port))
    except OSError:
        made.close()
        raise
    return made


def reset(made: socket.socket) -> None:
    """End a connection by a reset."""
    made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
    made.close()


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Return the status and body of the next answer. Raises OSError, EOFError, TimeoutError."""
    async with asyncio.timeout(ANSWER_SECS):
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        before, found, length = head.partition(b"content-length: ")
        body = await reader.readexactly(int(length.split(b"\r\n")[0])) if found else b""
        return int(before[9:12]), body


async def flood(
    target: Target, make: Callable[[], bytes], *, lines: int = 8, address: Callable[[], str] = lambda: HOME
) -> None:
    """Keep so many connections busy with one request each, made anew each time, until time is over."""

    async def one() -> None:
        while not target.is_over():
            try:
                reader, writer = await connect(target, address())
            except OSError:
                target.count("no connection")
                await asyncio.sleep(0.05)
                continue
            with suppress(OSError, EOFError, TimeoutError):
                await _keep_asking(target, make, reader, writer)
            writer.transport.abort()

    await _within([one() for _ in range(lines)], target.left)


async def _keep_asking(
    target: Target, make: Callable[[], bytes], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    while not target.is_over():
        writer.write(make())
        target.count("asked")
        status, _ = await answer(reader)
        target.count(str(status))
        target.expect(that=status < 500 or status == 503, else_say=f"answered with {status}")


async def hold(
    target: Target,
    opening: bytes,
    *,
    lines: int,
    address: Callable[[], str],
    every: float = 1.0,
    more: bytes = b"",
    window: int = 0,
    takes: int = 65_536,
) -> None:
    """Hold so many connections that began in this way; every so many seconds each takes a few bytes, and sends `more`.

    Whoever is cut off comes back.
    """
    ramp = asyncio.Semaphore(200)  # so that the attacker does not trip over its own feet

    async def one() -> None:
        while not target.is_over():
            try:
                async with ramp:
                    reader, writer = await connect(target, address(), window=window)
            except OSError:
                target.count("no connection")
                await asyncio.sleep(0.2)
                continue
            target.count("opened")
            with suppress(OSError):
                writer.write(opening)
                while not target.is_over() and await _takes(target, reader, every, takes):
                    writer.write(more)
            writer.transport.abort()

    await _within([one() for _ in range(lines)], target.left)


async def _takes(target: Target, reader: asyncio.StreamReader, secs: float, size: int) -> bool:
    """Take so many bytes at most, and let so many seconds pass; return whether there may be more."""
    began = asyncio.get_running_loop().time()
    with suppress(TimeoutError):
        async with asyncio.timeout(secs):
            taken = await reader.read(size)
            target.count("bytes taken", len(taken))
            if not taken:
                target.count("cut off")
                await asyncio.sleep(0.05)
                return False
    await asyncio.sleep(max(0.0, began + secs - asyncio.get_running_loop().time()))
    return True


async def push(target: Target, data: bytes, *, lines: int = 1, opening: bytes = b"", handshake: bytes = b"") -> None:
    """Send the same bytes over and over on so many connections, taking whatever is answered, until time is over.

    Each connection begins with a handshake, whose answer is waited for, and an opening.
    """

    async def one() -> None:
        while not target.is_over():
            try:
                reader, writer = await connect(target)
                if handshake:
                    writer.write(handshake)
                    await answer(reader)
            except (OSError, EOFError, TimeoutError):
                await asyncio.sleep(0.05)
                continue
            draining = asyncio.ensure_future(_drain(target, reader))
            with suppress(OSError):
                writer.write(opening)
                while not target.is_over() and not draining.done():
                    writer.write(data)
                    await writer.drain()
                    target.count("pushed")
                    await asyncio.sleep(0)
            draining.cancel()
            writer.transport.abort()

    await _within([one() for _ in range(lines)], target.left)


async def _drain(target: Target, reader: asyncio.StreamReader) -> None:
    with suppress(OSError):
        while more := await reader.read(2**18):
            target.count("bytes taken", len(more))


async def _within(works: Sequence[Coroutine[None, None, None]], secs: float) -> None:
    """Do all of it for so many seconds, and then no more."""
    tasks = [asyncio.ensure_future(each) for each in works]
    await asyncio.wait(tasks, timeout=secs + 0.2)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
