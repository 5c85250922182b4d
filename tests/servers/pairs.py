"""In: running servers. Out: places that hide the next one: black-holed, resetting, a standby."""

import os
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from gateway.app.dev_servers.postgres import PostgresServer


@contextmanager
def black_hole(host: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """A port whose queue is full: whoever connects gets no answer at all, as behind a firewall that drops."""
    with socket.socket() as listening, socket.socket() as first, socket.socket() as second:
        listening.bind((host, port))
        listening.listen(0)
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(listening.getsockname())
        yield listening.getsockname()[1]


@contextmanager
def resetting() -> Iterator[int]:
    """A port that takes a connection and resets it, as a proxy does whose server is away."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=_reset_all, args=(listening,), daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def _reset_all(listening: socket.socket) -> None:
    while True:
        try:
            peer, _ = listening.accept()
        except OSError:
            return
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()


@contextmanager
def as_standby(server: PostgresServer) -> Iterator[None]:
    """Let a server recover for ever, as a standby does: it can be read and not written."""
    mark = server.data / "standby.signal"
    server.stop()
    mark.touch()
    owner = server.data.stat()
    os.chown(mark, owner.st_uid, owner.st_gid)
    server.start()
    try:
        yield
    finally:
        server.stop()
        mark.unlink(missing_ok=True)
        server.start()
