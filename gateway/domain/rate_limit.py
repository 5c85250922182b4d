"""Rate limits: units and times → how long a caller must wait to stay within its limit. Pure: time is an argument.

This is GCRA (the generic cell rate algorithm, ITU-T I.371): of each caller one number is kept, the time at which its
bucket will be full again. In any t seconds a caller gets at most burst + rate · t units through. What does not fit in
the bucket at all (a body larger than the burst) passes when the bucket is full, and is paid for afterwards.
"""

import math
from collections import OrderedDict
from collections.abc import Hashable
from typing import NamedTuple

from gateway.core import settings

SLACK_SECS = 1e-6
"""What sums of floats may be off by: without it the last unit of a burst would be refused now and then."""
BRANCH = "limits"
UNITS = ("requests", "readings", "bytes")


class Rate(NamedTuple):
    """What a caller may do."""

    name: str
    """The setting that says so."""
    value: float
    """Units a second, as the setting says."""
    unit: str
    per_sec: float
    """This process's share of the value."""
    burst: float
    """Units that may come at once: the size of the bucket, at least one."""


class Left(NamedTuple):
    """What a caller has left."""

    units: int
    full_in_secs: float


class Meter:
    """One rate, and how far each caller has used it up; at most `max_callers` are known.

    A caller whose bucket is full is the same as one that never called, so those are forgotten along the way. Beyond the
    bound the one that was quiet longest is forgotten: with too many callers some get more than their limit, and nobody
    is refused for the number of others.
    """

    __slots__ = ("_full_at", "_interval", "_max_callers", "_tolerance", "rate")

    def __init__(self, rate: Rate, *, max_callers: int) -> None:
        self.rate = rate
        self._interval = 1 / rate.per_sec
        self._tolerance = rate.burst / rate.per_sec
        self._max_callers = max_callers
        self._full_at: OrderedDict[Hashable, float] = OrderedDict()
        """Caller → the time (s) at which its bucket is full again; the one that was quiet longest comes first."""

    @property
    def known(self) -> int:
        """Callers that are remembered."""
        return len(self._full_at)

    def take(self, caller: Hashable, units: float, now: float) -> float:
        """Charge the units and return 0 if they may pass; else return the seconds to wait, and charge nothing."""
        callers = self._full_at  # every request comes here, so this is `wait` and `charge` in one
        full_at = callers.get(caller)
        if full_at is None:
            self.charge(caller, units, now)
            return 0.0
        tolerance, cost = self._tolerance, units * self._interval
        spent = full_at - now if full_at > now else 0.0
        wait = spent + min(cost, tolerance) - tolerance
        if wait > SLACK_SECS:
            return wait
        callers[caller] = now + spent + cost
        callers.move_to_end(caller)
        return 0.0

    def wait(self, caller: Hashable, units: float, now: float) -> float:
        """Return in how many seconds this many units (or, if fewer, a whole burst) may pass; 0: now."""
        full_at = self._full_at.get(caller)
        if full_at is None or full_at <= now:
            return 0.0
        wait = full_at - now + min(units * self._interval, self._tolerance) - self._tolerance
        return wait if wait > SLACK_SECS else 0.0

    def charge(self, caller: Hashable, units: float, now: float, *, most_secs: float = math.inf) -> None:
        """Count units that pass, whether or not there is room. More than `most_secs` of waiting are not kept."""
        callers = self._full_at
        full_at = callers.get(caller)
        if full_at is None:
            self._make_room(now)
            full_at = now
        spent = min(max(full_at - now, 0.0) + units * self._interval, self._tolerance + most_secs)
        callers[caller] = now + spent
        callers.move_to_end(caller)

    def left(self, caller: Hashable, now: float) -> Left:
        """Return what the caller may still do."""
        spent = max(self._full_at.get(caller, now) - now, 0.0)
        return Left(max(0, int((self._tolerance - spent + SLACK_SECS) / self._interval)), spent)

    def _make_room(self, now: float) -> None:
        """Forget two callers that have nothing to remember, so that the table shrinks; and one that has, if it must."""
        callers = self._full_at
        for _ in range(2):
            if callers and callers[next(iter(callers))] <= now:
                callers.popitem(last=False)
        if len(callers) >= self._max_callers:
            callers.popitem(last=False)


class Meters(NamedTuple):
    """The meters of one kind of caller; None where there is no limit."""

    requests: Meter | None
    readings: Meter | None
    bytes: Meter | None


def to_meters(limits: settings.LimitSettings, kind: str, *, share: int = 1) -> Meters | None:
    """Return the meters of `device`, `key` or `address`; None if none of their limits is set.

    `share` is the number of processes that a caller may meet: each lets its part of the limit through.
    """
    meters = Meters(*[to_meter(limits, f"{kind}_{unit}_per_sec", unit, share=share) for unit in UNITS])
    return meters if any(meter is not None for meter in meters) else None


def to_meter(limits: settings.LimitSettings, leaf: str, unit: str, *, share: int = 1) -> Meter | None:
    """Return the meter of one setting, None if it is 0."""
    value: float = getattr(limits, leaf)
    if not value:
        return None
    per_sec = value / share
    rate = Rate(f"{BRANCH}.{leaf}", value, unit, per_sec, max(1.0, per_sec * limits.burst_secs))
    return Meter(rate, max_callers=limits.max_callers)
