"""In: a TCP port. Out: whether it can be had, or one that can. Never keeps it: the server that needs it binds it."""

import errno
import socket

from gateway.errors import LocalStackError

LOOPBACK = "127.0.0.1"
_given: set[int] = set()


def need_port(port: int, *, setting: str, host: str = LOOPBACK) -> None:
    """LocalStackError naming the port and the ``setting`` that changes it when it cannot be listened on."""
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections just closed do not count
            probe.bind((host, port))
    except OSError as error:
        why = "is taken by another program" if error.errno == errno.EADDRINUSE else f"cannot be used: {error.strerror}"
        raise LocalStackError(f"port {port} on {host} {why}; set {setting} to another one") from error


def free_port() -> int:
    """Return a port of 127.0.0.1 on which nobody listens now; never the same one twice in a process."""
    while True:
        with socket.socket() as probe:
            probe.bind((LOOPBACK, 0))
            port = int(probe.getsockname()[1])
        if port not in _given:
            _given.add(port)
            return port


def listens(port: int, *, timeout: float = 0.5) -> bool:
    """Whether something takes TCP connections on this port of 127.0.0.1 (waits ``timeout`` seconds at most)."""
    try:
        socket.create_connection((LOOPBACK, port), timeout=timeout).close()
    except OSError:
        return False
    return True
