"""Connections that are not in use, kept for the next use. In: what is given back. Out: one that may still be good."""

from gateway.timescale.connections import hosts
from gateway.timescale.connections.connect import Direct
from gateway.timescale.connections.pool import DATABASE_ERRORS


class Idle:
    """Keeps nothing that leads to a server which another one has replaced: it may hang for long."""

    def __init__(self) -> None:
        self._kept: list[Direct] = []
        self._switches = hosts.switches()

    def add(self, connection: Direct) -> None:
        """Keep a connection, if it is open."""
        if not connection.is_closed():
            self._kept.append(connection)

    def take(self) -> "Direct | None":
        """Return a connection; those that the server has closed meanwhile are passed over."""
        if self._switches != hosts.switches():
            self._switches = hosts.switches()
            while self._kept:
                self._kept.pop().terminate()
        while self._kept:
            connection = self._kept.pop()
            if not connection.is_closed():
                return connection
        return None

    async def close(self, timeout: float) -> None:
        """Close all of them, each within `timeout` seconds."""
        while self._kept:
            connection = self._kept.pop()
            try:
                await connection.close(timeout=timeout)
            except DATABASE_ERRORS:
                connection.terminate()
