"""A listening socket in, the connections that wait at it out, if many do: whoever is accepted asks for those behind it.

libuv accepts one connection in each turn of the event loop (since its 1.45). While a turn takes long, because every
connection has something to do, a thousand new ones would wait for as many turns, and a health check behind them.
"""

import asyncio
import socket
import struct
from collections.abc import Callable

FEW = 16
"""As many may wait: one a turn is soon enough, and leaves some for the other workers."""
AT_ONCE = 64
"""More are not taken in one turn: each has an open file before it is known whether there is a seat for it."""
LOOKED_AT = 128
"""Those are looked at in one turn: who hung up while it waited is dropped for some 50 µs, and not served for 300."""
_CLOSED = b"\x07"
"""tcp_info.tcpi_state, the first byte, of a connection that was reset: nobody is there to hear an answer."""
_INFO_BYTES = 28
_LENGTH = struct.Struct("=24xI")
"""tcp_info.tcpi_unacked, which of a listening socket is the number of connections that wait (Linux, tcp_get_info)."""


def take_waiting(
    loop: asyncio.AbstractEventLoop, listening: socket.socket, make: Callable[[], asyncio.Protocol], *, share: int
) -> None:
    """Accept this worker's share of what waits beyond a FEW, as long as no more than AT_ONCE are on their way in."""
    for _ in range(min((waiting(listening) - FEW) // share, LOOKED_AT)):
        if len(_joining) >= AT_ONCE:
            return
        try:
            connection, _ = listening.accept()
        except OSError:  # another worker was faster, it is gone again, or there are no more files
            return
        if is_reset(connection):
            connection.close()
            continue
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


def is_reset(connection: socket.socket) -> bool:
    """Whether the other side has reset it; a half-closed one still waits for its answer."""
    try:
        return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) == _CLOSED
    except (AttributeError, OSError):
        return False


_joining: set[asyncio.Task[None]] = set()


async def _join(
    loop: asyncio.AbstractEventLoop, make: Callable[[], asyncio.Protocol], connection: socket.socket
) -> None:
    try:
        await loop.connect_accepted_socket(make, connection)
    except OSError:
        connection.close()
