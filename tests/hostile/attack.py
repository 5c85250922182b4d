"""An attack: who makes it, what it does, and how much memory it may cost. The table of all of them is `TABLE`.

An attack is an async generator with one `yield`: what stands before it is prepared (and not measured), what stands
after it is done until `target.is_over()`. It runs in a process of its own, and says what it saw in `target.report`.
"""

import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Literal

Who = Literal["stranger", "device token", "ingest key", "reader", "neighbour"]
"""Whoever has no credential, one of these credentials, or a login at the broker."""


@dataclass(frozen=True)
class Place:
    """Where the gateway is, and whom the attacker may say to be."""

    port: int
    broker: int
    """Port of the broker; 0 without one."""
    tokens: dict[str, str]
    """Device tokens `device` (of press-1) and `names` (of press-4, which has metrics enough), keys `ingest` and
    `reader`, and the `admin`; `honest` and `honest_reader` are the keys of honest clients."""
    workers: int = 1
    seats: int = 10_000
    """Connections that a worker has room for."""
    pids: tuple[int, ...] = ()
    """Of the gateway's workers."""


@dataclass
class Report:
    """What an attacker saw."""

    counts: Counter[str] = field(default_factory=Counter)
    troubles: list[str] = field(default_factory=list)
    """What the gateway should not have done, beyond being slow to others."""


class Target:
    """The gateway as an attacker sees it, for so many seconds."""

    def __init__(self, place: Place, secs: float) -> None:
        self.place = place
        self.report = Report()
        self._secs = secs
        self._end = float("inf")

    def begin(self) -> None:
        """Start the clock."""
        self._end = time.monotonic() + self._secs

    def is_over(self) -> bool:
        """Whether the time is over."""
        return time.monotonic() >= self._end

    @property
    def left(self) -> float:
        """Seconds until it is."""
        return max(0.0, self._end - time.monotonic())

    def bearer(self, who: str) -> bytes:
        """Return the header of a credential."""
        return b"Authorization: Bearer %s\r\n" % self.place.tokens[who].encode()

    def count(self, what: str, times: int = 1) -> None:
        """Note that something happened."""
        self.report.counts[what] += times

    def expect(self, *, that: bool, else_say: str) -> None:
        """Note a trouble, once, unless it is as it must be."""
        if not that and else_say not in self.report.troubles:
            self.report.troubles.append(else_say)


Strike = Callable[[Target], AsyncIterator[None]]


@dataclass(frozen=True)
class Attack:
    """One line of the table."""

    name: str
    who: Who
    does: str
    """One line, for the list."""
    strike: Strike
    rss_mib: int
    """How much the memory of all the gateway's processes may grow while it lasts."""
    share: float
    """Of the time for all attacks; 1 is usual."""
    family: str
    in_short: bool
    """Whether `make test` has a short version; relatives that strike the same wall have none."""

    @property
    def over_mqtt(self) -> bool:
        """Whether it needs a broker."""
        return self.who == "neighbour"


TABLE: dict[str, Attack] = {}


def attack(
    who: Who, does: str, *, rss_mib: int = 48, share: float = 1.0, in_short: bool = True
) -> Callable[[Strike], Strike]:
    """Enter a function into the table; its name with dashes is the attack's."""

    def enter(strike: Strike) -> Strike:
        name = strike.__name__.replace("_", "-")
        assert name not in TABLE, name
        family = strike.__module__.rpartition(".")[2]
        TABLE[name] = Attack(name, who, does, strike, rss_mib, share, family, in_short)
        return strike

    return enter
