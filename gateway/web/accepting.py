"""Sanic's HTTP connection, and one thing more: whoever is accepted has those behind it accepted, too, if many wait.

libuv accepts one connection in each turn of the event loop (since its 1.45). While a turn takes long, because every
connection has something to do, a thousand new ones would wait for as many turns, and a health check behind them.
"""

import asyncio
import socket
import struct
from collections.abc import Callable
from functools import partial
from typing import Any

from sanic.server.protocols.websocket_protocol import WebSocketProtocol

FEW = 16
"""As many may wait: one a turn is soon enough, and leaves some for the other workers."""
_INFO_BYTES = 28
_LENGTH = struct.Struct("=24xI")
"""tcp_info.tcpi_unacked, which of a listening socket is the number of connections that wait (Linux, tcp_get_info)."""


class Connection(WebSocketProtocol):
    """One HTTP connection, or a WebSocket that began as one."""

    __slots__ = ("_more",)

    def __init__(self, *, more: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._more = partial(type(self), more=False, **kwargs) if more else None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, and take in those who wait behind this one."""
        super().connection_made(transport)  # type: ignore[no-untyped-call]
        if self._more is not None:
            listening: socket.socket = self.app.state.server_info[0].settings["sock"]
            take_waiting(self.loop, listening, self._more, share=self.app.ctx.gateway.http.workers)


def take_waiting(
    loop: asyncio.AbstractEventLoop, listening: socket.socket, make: Callable[[], asyncio.Protocol], *, share: int
) -> None:
    """Accept this worker's share of what waits beyond a FEW."""
    for _ in range((waiting(listening) - FEW) // share):
        try:
            connection, _ = listening.accept()
        except OSError:  # another worker was faster, it is gone again, or there are no more files
            return
        connection.setblocking(False)
        task = loop.create_task(_join(loop, make, connection), name="http.accept")
        _joining.add(task)
        task.add_done_callback(_joining.discard)


def waiting(listening: socket.socket) -> int:
    """Return how many connections the kernel holds for us; 0 where it does not tell."""
    try:
        (length,) = _LENGTH.unpack(listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES))
    except (AttributeError, OSError, struct.error):
        return 0
    return int(length)


_joining: set[asyncio.Task[None]] = set()


async def _join(
    loop: asyncio.AbstractEventLoop, make: Callable[[], asyncio.Protocol], connection: socket.socket
) -> None:
    try:
        await loop.connect_accepted_socket(make, connection)
    except OSError:
        connection.close()
