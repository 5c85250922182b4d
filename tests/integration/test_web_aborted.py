"""A connection that is aborted, wherever it is, is gone with all that it held, without any collection."""

import asyncio
import gc
import resource
import socket
import struct
from collections import Counter
from contextlib import suppress

import pytest
import uvloop

from gateway.core.settings import HttpSettings
from tests.integration.web_server import Door, serving
from tests.integration.web_wire import head

HTTP = HttpSettings(drain_secs=0, grace_secs=1, max_connections=4)
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: close by a reset."""
POST = head("/v1/readings", "Content-Length: 2") + b"{}"
SOCKET = (
    b"GET /v1/ws HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer admin\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
STREAM = b"GET /v1/stream HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer admin\r\n\r\n"
HEARD = None
"""Wait for an answer."""
KINDS: dict[str, list[bytes | None]] = {
    "nothing": [],
    "empty lines": [b"\r\n\r\n"],
    "in the head": [b"GET /livez HT"],
    "in a declared body": [head("/v1/readings", "Content-Length: 900") + b"xx"],
    "in a body that is held": [POST, HEARD, POST[:-1]],
    "in a chunk": [head("/v1/readings", "Transfer-Encoding: chunked") + b"5\r\nab"],
    "behind a request": [POST],
    "over keep-alive": [POST, HEARD, POST, HEARD],
    "in a request behind another": [POST + POST[:30]],
    "refused": [head("/nowhere", "Content-Length: 2") + b"{}", HEARD],
    "refused in its body": [head("/v1/readings", "Content-Length: 900", token="nobody") + b"xx", HEARD],
    "unreadable": [b"\0\r\n\r\n", HEARD],
    "in a stream": [STREAM, HEARD],
    "before a stream": [STREAM],
    "in a page": [b"GET /docs/swagger-ui.js HTTP/1.1\r\nHost: g\r\n\r\n", HEARD],
    "in many pages that nobody takes": [b"GET /docs/swagger-ui.js HTTP/1.1\r\nHost: g\r\n\r\n" * 9, HEARD],
    "in a WebSocket": [SOCKET, HEARD, b"\x81\x85abcd"],
    "in its handshake": [SOCKET],
    "in half of its handshake": [SOCKET[:-10]],
}


async def abort(door: Door, said: list[bytes | None]) -> None:
    """Say something on a new connection, and reset it."""
    loop = asyncio.get_running_loop()
    with socket.socket() as line:
        line.setblocking(False)
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        async with asyncio.timeout(10):
            with suppress(ConnectionError):
                await loop.sock_connect(line, ("127.0.0.1", door.port))
                for each in said:
                    if each is None:
                        await loop.sock_recv(line, 65_536)
                    else:
                        await loop.sock_sendall(line, each)
            while not door.connections:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0)
            for _ in range(3):  # turns in which it is read
                await asyncio.sleep(0)
    door.intake.taken.clear()


async def gone(door: Door, most: int) -> None:
    """Wait until no more than so many connections are open."""
    async with asyncio.timeout(10):
        while len(door.connections) > most:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.001)


async def left_behind(door: Door, said: list[bytes | None], times: int) -> dict[str, int]:
    """Return how many objects of each kind more there are than before."""
    before = Counter[str]()
    try:
        for count in (3, times):
            before = kinds() - Counter[str]()
            gc.collect()
            gc.disable()
            for _ in range(count):
                await abort(door, said)
                await gone(door, 2)
            await gone(door, 0)
            for _ in range(20):  # turns and timers in which what is closed is closed
                await asyncio.sleep(0.001)
        return {kind: count for kind, count in (kinds() - before).items() if count >= times * 3 // 4}
    finally:
        gc.enable()


def kinds() -> "Counter[str]":
    return Counter(type(one).__name__ for one in gc.get_objects())


async def attack(kind: str, times: int) -> None:
    async with serving(HTTP) as door:
        assert await left_behind(door, KINDS[kind], times) == {}


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_left_behind(kind: str) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # asyncio's own transports are circles
        runner.run(attack(kind, 32))


def test_nothing_is_left_behind_by_thousands() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(attack("in a declared body", 10_000))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20 * 1024, "KiB: they once held 7.6 KiB each"
