"""The limit of connections: a newcomer in, a seat for it out, or why it has none. Serves none of them.

Whoever has shown a valid credential keeps its seat, a device some of them. All others are strangers: when no seat is
free, in all or at one address, the newcomer gets that of the stranger who has been one for longest and is not being
served right now. So whoever fills the seats with connections that say nothing keeps nobody out, and a device is in
within its first request.

Where no stranger yields, a newcomer may stand, and say what it wants: a probe is answered, for a gateway that is
merely full must not be restarted, and anybody else is refused and closed. When too many stand, the one that stood
longest is, so that there is always room to ask in. All of them together stay below the limit of open files. At that
limit uvloop would hang up on newcomers without a word, and the database, the spool and Redis could not be opened again.
"""

import re
import resource
from itertools import islice
from typing import NamedTuple, Protocol

from gateway.core.errors import GatewayError, TooManyConnections, TooManyFromAddress
from gateway.core.settings import HttpSettings
from gateway.telemetry import events, http_events, limit_events
from gateway.web.limits.client_address import Addresses

STANDING = 64
"""Connections without a seat, at most."""
STANDING_SECS = 2.0
"""They are closed after so long, or as soon as they are idle then."""
KEPT_BY_A_DEVICE = 64
"""Seats that one device's tokens keep; with any more it is a stranger, and welcome while there is room."""
ASKED = 16
"""Strangers that are asked for their seat, the longest there first; those who are being served keep it."""
FILES_KEPT = 384
"""Open files that are not for seats: 128 for the database, Redis, the spool and so on, 128 for connections that stand
or are on their way in, and as many for those that are being closed."""
MAX_CONNECTIONS, MAX_PER_ADDRESS = "http.max_connections", "http.max_connections_per_address"
_PROBE = re.compile(rb"(?:GET|HEAD) /(?:livez|readyz|metrics)(?:\?[\x21-\x7e]*)? ")


class Guest(Protocol):
    """A connection, as whoever gives seats knows it."""

    def refuse(self) -> None:
        """Say why it has no seat, and close."""
        ...

    def yield_seat(self, limit: str) -> bool:
        """Close because this limit is reached, unless it is being served; whether it did."""
        ...


class Seat(NamedTuple):
    """What one connection has: a seat, or a place to stand."""

    address: str | None = None
    """Whose it counts as; None for a proxy that is believed: it speaks for many."""
    limit: str = ""
    """For whoever stands: the limit that is reached."""
    device: str | None = None
    """The device that keeps it, if one does."""


class Place:
    """What one address has."""

    __slots__ = ("strangers", "taken")

    def __init__(self) -> None:
        self.taken = 0
        self.strangers: dict[Guest, None] = {}


class ConnectionLimit:
    """The connections of one worker, counted."""

    def __init__(self, limits: HttpSettings) -> None:
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.seats = seats(limits.max_connections, files)
        """Connections that may be open, without those who stand."""
        self.taken = 0
        """Of these."""
        self._per_address = limits.max_connections_per_address
        self._addresses = Addresses(limits.proxies)
        self._places: dict[str, Place] = {}
        self._kept: dict[str, int] = {}
        """Seats that devices keep."""
        self._strangers: dict[Guest, None] = {}
        """The one that has been one for longest first."""
        self._standing: dict[Guest, None] = {}
        """The one that stood longest first."""
        if self.seats < limits.max_connections:
            limit_events.seats_lowered(limits.max_connections, self.seats)

    def enter(self, guest: Guest, peer: str) -> Seat:
        """Give a newcomer a seat, somebody else's if need be, or let it stand."""
        address = None if self._addresses.is_believed(peer) else self._addresses.of(peer)
        limit = self._reached(address)
        if limit:
            self._stand(guest)
            return Seat(limit=limit)
        self.taken += 1
        self._strangers[guest] = None
        if address is not None:
            place = self._places.setdefault(address, Place())
            place.taken += 1
            place.strangers[guest] = None
        return Seat(address)

    def know(self, guest: Guest, seat: Seat, device: str | None) -> Seat:
        """Let it keep its seat: its credential, perhaps of a device, is valid. Return what it has now."""
        if seat.limit or (device is not None and self._kept.get(device, 0) >= KEPT_BY_A_DEVICE):
            return seat
        if device is not None:
            self._kept[device] = self._kept.get(device, 0) + 1
        self._forget(guest, seat)
        return seat._replace(device=device)

    def _forget(self, guest: Guest, seat: Seat) -> None:
        """Count it among the strangers no more."""
        self._strangers.pop(guest, None)
        if seat.address is not None:
            self._places[seat.address].strangers.pop(guest, None)

    def leave(self, guest: Guest, seat: Seat) -> None:
        """Forget a connection that is closed, or about to be; to be called once."""
        if seat.limit:
            self._standing.pop(guest, None)
            return
        self._forget(guest, seat)
        self.taken -= 1
        if seat.device is not None:
            self._kept[seat.device] -= 1
            if not self._kept[seat.device]:
                del self._kept[seat.device]
        if seat.address is not None:
            place = self._places[seat.address]
            place.taken -= 1
            if not place.taken:
                del self._places[seat.address]

    def refusal(self, limit: str) -> GatewayError:
        """Return what is said to whoever has no seat; it is counted and logged as a full queue is."""
        events.overloaded(limit)
        if limit == MAX_PER_ADDRESS:
            return TooManyFromAddress(
                f"{self._per_address} connections are open from your address, and no more may be ({limit}); "
                "keep and share those that you have, or come back later",
                limit=limit,
                value=self._per_address,
            )
        return TooManyConnections(
            f"{self.seats} connections are open, and no more may be ({limit}, or the limit of open files); "
            "keep and share those that you have, or come back later",
            limit=limit,
            value=self.seats,
        )

    def _reached(self, address: str | None) -> str:
        """Return the limit that lets no more in, if nobody yields; else make sure that there is a seat."""
        place = None if address is None else self._places.get(address)
        if place is not None and 0 < self._per_address <= place.taken:
            return "" if _take(place.strangers, MAX_PER_ADDRESS) else MAX_PER_ADDRESS
        if self.taken < self.seats:
            return ""
        return "" if _take(self._strangers, MAX_CONNECTIONS) else MAX_CONNECTIONS

    def _stand(self, guest: Guest) -> None:
        """Let it say what it wants; the one that stood longest may have to go."""
        self._standing[guest] = None
        if len(self._standing) > STANDING:
            oldest = next(iter(self._standing))
            del self._standing[oldest]
            oldest.refuse()


def _take(strangers: dict[Guest, None], limit: str) -> bool:
    """Whether one of them has gone; who is being served is asked last the next time."""
    for guest in list(islice(strangers, ASKED)):
        if guest.yield_seat(limit):
            http_events.cut_off(limit)
            return True
        del strangers[guest]
        strangers[guest] = None
    return False


def seats(wanted: int, files: int) -> int:
    """Return how many connections may be open where so many files may be; three quarters of few are kept."""
    if files == resource.RLIM_INFINITY:
        return wanted
    return max(1, min(wanted, files - min(FILES_KEPT, files * 3 // 4)))


def is_probe(data: bytes | bytearray) -> bool:
    """Whether these first bytes of a connection ask for health or metrics."""
    return _PROBE.match(data) is not None
