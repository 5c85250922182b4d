"""A target in this process that acknowledges everything, and loses what a test tells it to lose."""

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Mapping
from typing import Any, cast

from gateway.app.dev_servers.ports import free_port
from tests.generator.sink import body_size
from tests.peers.target import PROGRAM, Target
from tests.peers.works import Door

_YES = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


class FakeTarget(Target):
    """Keeps the posts in memory. `forgets` of the first messages that it acknowledged are gone after a kill."""

    name = "fake"
    title = "a fake"
    promise = "nothing"

    def __init__(self, *, drops_every: int = 0, forgets: int = 0) -> None:
        self._drops_every = drops_every
        self._forgets = forgets
        self._port = free_port()
        self._taken = 0
        self._messages: list[dict[str, Any]] = []
        self._loop: asyncio.AbstractEventLoop
        self._thread: threading.Thread | None = None

    @property
    def dropped(self) -> int:
        """Messages it acknowledged and never kept."""
        return self._taken // self._drops_every if self._drops_every else 0

    def door(self, work: str) -> Door | None:
        return None if work == "W4" else Door(self._port, "messages", path="/")

    def start(self) -> None:
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(ready)))
        self._thread.start()
        assert ready.wait(10)

    def stop(self) -> None:
        if self._thread is not None:
            self._loop.call_soon_threadsafe(self._over.set)
            self._thread.join(10)
            self._thread = None

    def kill(self) -> None:
        self.stop()
        del self._messages[: self._forgets]

    def clear(self) -> None:
        self._messages.clear()
        self._taken = 0

    def readings(self) -> int:
        return sum(len(message["values"]) for message in self._messages)

    def stored(self, ends: Mapping[str, int], metrics: int) -> dict[str, int]:
        kept = Counter(one["device"] for one in self._messages if one["ts"] < ends.get(one["device"], 0))
        return {device: count * metrics for device, count in kept.items()}

    def parts(self, work: str) -> dict[str, int]:  # noqa: ARG002 -- the same for all
        return {PROGRAM: self._port}

    def take(self, body: bytes) -> None:
        """Keep what a post holds, but for what is to be dropped."""
        for message in json.loads(body):
            self._taken += 1
            if not self._drops_every or self._taken % self._drops_every:
                self._messages.append(message)

    async def _serve(self, ready: threading.Event) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        open_now: set[asyncio.Transport] = set()
        server = await self._loop.create_server(lambda: _Posts(self, open_now), "127.0.0.1", self._port)
        ready.set()
        await self._over.wait()
        server.close()
        for transport in list(open_now):
            transport.abort()


class _Posts(asyncio.Protocol):
    """One connection."""

    def __init__(self, target: FakeTarget, open_now: set[asyncio.Transport]) -> None:
        self._target = target
        self._open_now = open_now
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._open_now.add(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._open_now.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if found and len(body) >= body_size(head):
            self._buffer = b""
            self._target.take(body)
            self._transport.write(_YES)
