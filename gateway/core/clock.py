"""Time, as an argument: the clock that is asked, and that of this machine."""

import time
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
