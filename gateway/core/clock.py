"""Time, as an argument: the clock that is asked, that of this machine, and one that never goes back."""

import time
from collections.abc import Callable
from typing import Protocol


class Clock(Protocol):
    """A clock."""

    def now_us(self) -> int:
        """Microseconds since 1970 UTC."""
        ...


class SystemClock:
    """The clock of this machine."""

    def now_us(self) -> int:
        """Microseconds since 1970 UTC."""
        return time.time_ns() // 1000


class ForwardClock:
    """The latest time that a clock has shown, going on from there: a clock that is set back holds nothing up.

    For what expires. What is over by this clock stays over for as long as the process lives; a clock that was ahead for
    a moment therefore ends things early, and never late.
    """

    def __init__(self, clock: Clock, *, monotonic_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._clock = clock
        self._monotonic_ns = monotonic_ns
        self._latest_us = clock.now_us()
        self._since_ns = monotonic_ns()
        """When the clock showed that."""

    def now_us(self) -> int:
        """Microseconds since 1970 UTC."""
        now_us, now_ns = self._clock.now_us(), self._monotonic_ns()
        at_least_us = self._latest_us + (now_ns - self._since_ns) // 1000
        if now_us < at_least_us:
            return at_least_us
        self._latest_us, self._since_ns = now_us, now_ns
        return now_us
