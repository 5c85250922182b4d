"""What waits to be accepted is taken together: all beyond a few, or this worker's share of it."""

import asyncio
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from gateway.web.server.accept import AT_ONCE, FEW, LOOKED_AT, take_waiting, waiting

SOON = 5.0
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells how many wait")


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=256) as made:
        made.setblocking(False)
        yield made


class Greeting(asyncio.Protocol):
    """Says hello to whoever was accepted."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(b"hello")
        transport.close()


@pytest.mark.parametrize(
    ("clients", "share", "accepted"),
    [
        (0, 1, 0),
        (FEW, 1, 0),
        (FEW + 1, 1, 1),
        (FEW + 40, 1, 40),
        (FEW + 40, 2, 20),
        (FEW + 1, 2, 0),
        (FEW + AT_ONCE + 10, 1, AT_ONCE),
    ],
)
async def test_this_workers_share_of_what_waits_beyond_a_few(
    listening: socket.socket, clients: int, share: int, accepted: int
) -> None:
    loop = asyncio.get_running_loop()
    with ExitStack() as stack:
        lines = [stack.enter_context(socket.create_connection(listening.getsockname())) for _ in range(clients)]
        assert waiting(listening) == clients
        take_waiting(loop, listening, Greeting, share=share)
        assert waiting(listening) == clients - accepted
        for line in lines[:accepted]:
            line.setblocking(False)
            async with asyncio.timeout(SOON):
                assert await loop.sock_recv(line, 5) == b"hello"
        assert len(lines) == clients


async def test_whoever_is_gone_again_harms_nobody(listening: socket.socket) -> None:
    for _ in range(FEW + 10):
        socket.create_connection(listening.getsockname()).close()
    take_waiting(asyncio.get_running_loop(), listening, Greeting, share=1)
    pending = [task for task in asyncio.all_tasks() if task.get_name() == "http.accept"]
    await asyncio.wait_for(asyncio.gather(*pending), SOON)
    assert waiting(listening) <= FEW


async def test_whoever_reset_it_is_dropped_unserved_and_those_behind_are_taken(listening: socket.socket) -> None:
    for _ in range(LOOKED_AT - 1):
        line = socket.create_connection(listening.getsockname())
        line.sendall(b"GET / HTTP/1.1\r\n\r\n")
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        line.close()
    with ExitStack() as stack:
        lines = [stack.enter_context(socket.create_connection(listening.getsockname())) for _ in range(FEW + 1)]
        lines[0].shutdown(socket.SHUT_WR)  # it still waits for an answer
        take_waiting(asyncio.get_running_loop(), listening, Greeting, share=1)
        assert waiting(listening) == FEW
        assert len([task for task in asyncio.all_tasks() if task.get_name() == "http.accept"]) == 1
        lines[0].setblocking(False)
        async with asyncio.timeout(SOON):
            assert await asyncio.get_running_loop().sock_recv(lines[0], 5) == b"hello"
            assert await asyncio.get_running_loop().sock_recv(lines[0], 5) == b""


def test_what_does_not_listen_has_nobody_waiting() -> None:
    with socket.socket() as closed, socket.socket(socket.AF_UNIX) as other:
        assert waiting(other) == 0
        closed.close()
        assert waiting(closed) == 0
