"""The listening socket of the workers, and how many files they may open."""

import contextlib
import errno
import resource
import socket
import time
from collections.abc import Callable

from gateway.core.errors import StartError
from gateway.core.settings import HttpSettings

BIND_SECS = 5.0
"""How long a taken port is tried: the workers of a killed predecessor may still be finishing."""
NOT_SENT_BYTES = 128 * 1024
"""What the system takes of an answer before its reader does: else it is up to 4 MiB of its memory for each connection
whose reader takes nothing (tcp(7), tcp_wmem), and of the container's."""


def bind(
    http: HttpSettings,
    *,
    wait_secs: float = BIND_SECS,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> socket.socket:
    """Return a bound socket. Raises StartError when the address is taken for longer than `wait_secs`, or not ours."""
    deadline = clock() + wait_secs
    while True:
        try:
            return _bound(http)
        except OSError as exc:
            taken = exc.errno == errno.EADDRINUSE
            if not taken or clock() >= deadline:
                cause = "it is taken" if taken else exc.strerror or str(exc)
                raise StartError(
                    f"cannot listen on {http.host} port {http.port}: {cause}; "
                    "set GATEWAY_HTTP__HOST and GATEWAY_HTTP__PORT"
                ) from exc
        sleep(0.1)


def raise_file_limit() -> None:
    """Take as many open files, and so connections, as the system lets us have: a service often begins with 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):  # it stays as it is
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _bound(http: HttpSettings) -> socket.socket:
    family, *_ = socket.getaddrinfo(http.host, http.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    made = socket.create_server((http.host, http.port), family=family)
    with contextlib.suppress(AttributeError, OSError):  # Linux alone has it; connections have it from here
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, NOT_SENT_BYTES)
    return made
