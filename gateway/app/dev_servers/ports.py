"""TCP ports: whether one can be had, or one that can. Never keeps it: the server that needs it binds it."""

import errno
import socket
from random import SystemRandom

from gateway.core.errors import LocalStackError

LOOPBACK = "127.0.0.1"
_QUIET = range(20_000, 32_000)
_given: set[int] = set()
_random = SystemRandom()


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
    """Return a port of 127.0.0.1 that nobody uses now; never the same one twice in a process.

    None of those that connections are given (RFC 6335 6, Linux: 32768 and up): a server that is started again, on the
    same port, would find it taken by whoever connects to something meanwhile.
    """
    while True:
        port = _random.choice(_QUIET)
        if port not in _given and _is_free(port):
            _given.add(port)
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def listens(port: int, *, timeout: float = 0.5) -> bool:
    """Whether something takes TCP connections on this port of 127.0.0.1 (waits ``timeout`` seconds at most)."""
    try:
        socket.create_connection((LOOPBACK, port), timeout=timeout).close()
    except OSError:
        return False
    return True
