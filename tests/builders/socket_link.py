"""A connection for a WebSocket without a network: what is written stays, and is taken when the test says so."""

import asyncio
import base64
from types import SimpleNamespace
from typing import Any, cast

from sanic.compat import Header

from gateway.core.settings import HttpSettings
from gateway.web.handlers.websocket_protocol import SocketWire
from gateway.web.limits.body_budget import Bodies
from gateway.web.limits.connection_budget import ConnectionBudget, ConnectionBudgets
from gateway.web.limits.fair_turns import FairTurns

CLOSE, PONG = 8, 10
HANDSHAKE = Header(
    {
        "upgrade": "websocket", "connection": "Upgrade", "sec-websocket-version": "13",
        "sec-websocket-key": base64.b64encode(b"0123456789abcdef").decode(),
    }
)  # fmt: skip


class Link:
    """A connection whose other side takes everything."""

    def __init__(self) -> None:
        self.transport = cast("Any", self)
        self.budget: ConnectionBudget = ConnectionBudgets(Bodies(HttpSettings()), FairTurns()).of_connection()
        self.written = bytearray()
        self.reading = True
        self.is_over = False
        self.room = asyncio.Event()
        """Whether what is sent is taken."""
        self.room.set()

    def open(self) -> SocketWire:
        """Return the socket on it, after the handshake."""
        call = SimpleNamespace(link=self, headers=HANDSHAKE, url=b"/v1/ws", header=HANDSHAKE.get)
        return SocketWire(cast("Any", call))

    def attach(self, wire: SocketWire) -> bytes:  # noqa: ARG002
        """Nobody else reads."""
        return b""

    async def send(self, data: bytes) -> None:
        half = len(data) // 2
        self.write(data[:half])
        await self.room.wait()
        self.write(data[half:])

    def write(self, data: bytes) -> None:
        assert not self.is_over, "written after the end"
        self.written += data

    def write_eof(self) -> None:
        self.is_over = True

    def close(self) -> None:
        self.is_over = True

    abort = close

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0 if self.room.is_set() else 1

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


def parse(data: bytes) -> list[tuple[int, bytes]]:
    """What a server wrote, as opcodes and payloads: frames that are not masked, each a whole message."""
    frames = []
    while data:
        assert data[0] & 0xF0 == 0x80
        size, start = data[1], 2
        if size >= 126:
            start = 4 if size == 126 else 10
            size = int.from_bytes(data[2:start], "big")
        frames.append((data[0] & 0x0F, data[start : start + size]))
        assert len(data) >= start + size
        data = data[start + size :]
    return frames
