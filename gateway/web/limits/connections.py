"""The limit of connections: how many are open in, whether one more may have a seat out. Serves none of them.

Whoever comes when all seats are taken may stand, and say what it wants: a probe is answered, for a gateway that is
merely full must not be restarted, and anybody else is refused and closed. When too many stand, the one that stood
longest is, so that there is always room to ask in. All of them together stay below the limit of open files. At that
limit uvloop would hang up on newcomers without a word, and the database, the spool and Redis could not be opened again.
"""

import resource
from typing import Protocol

from gateway.core.errors import TooManyConnections
from gateway.core.settings import HttpSettings
from gateway.telemetry import events, limit_events

STANDING = 64
"""Connections without a seat, at most."""
STANDING_SECS = 2.0
"""They are closed after so long, or as soon as they are idle then."""
FILES_KEPT = 384
"""Open files that are not for seats: 128 for the database, Redis, the spool and so on, 128 for connections that stand
or are on their way in, and as many for those that are being closed."""
MAX_CONNECTIONS = "http.max_connections"
_PROBES = tuple(f"{verb} /{path}".encode() for verb in ("GET", "HEAD") for path in ("livez", "readyz", "metrics"))


class Unseated(Protocol):
    """A connection without a seat."""

    def refuse(self) -> None:
        """Say why, and close."""
        ...


class ConnectionLimit:
    """The connections of one worker, counted."""

    def __init__(self, limits: HttpSettings) -> None:
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.seats = seats(limits.max_connections, files)
        """Connections that may be open, without those who stand."""
        self._standing: dict[Unseated, None] = {}
        """The one that stood longest first."""
        if self.seats < limits.max_connections:
            limit_events.seats_lowered(limits.max_connections, self.seats)

    def is_full(self, connections: int) -> bool:
        """Whether, with so many open, somebody has no seat who does not stand."""
        return connections - len(self._standing) > self.seats

    def stand(self, connection: Unseated) -> None:
        """Let it say what it wants; the one that stood longest may have to go."""
        self._standing[connection] = None
        if len(self._standing) > STANDING:
            oldest = next(iter(self._standing))
            self.leave(oldest)
            oldest.refuse()

    def leave(self, connection: Unseated) -> None:
        """Forget a connection that is closed, or about to be."""
        self._standing.pop(connection, None)

    def refusal(self) -> TooManyConnections:
        """Return what is said to whoever is refused; it is counted and logged as a full queue is."""
        events.overloaded(MAX_CONNECTIONS)
        return TooManyConnections(
            f"{self.seats} connections are open, and no more may be ({MAX_CONNECTIONS}, or the limit of open files); "
            "keep and share those that you have, or come back later",
            limit=MAX_CONNECTIONS,
            value=self.seats,
        )


def seats(wanted: int, files: int) -> int:
    """Return how many connections may be open where so many files may be; three quarters of few are kept."""
    if files == resource.RLIM_INFINITY:
        return wanted
    return max(1, min(wanted, files - min(FILES_KEPT, files * 3 // 4)))


def is_probe(data: bytes) -> bool:
    """Whether these first bytes of a connection ask for health or metrics."""
    return data.startswith(_PROBES)
