"""The clock of this machine. What needs another one in a test takes it as an argument: `contracts.Clock`."""

import time


class SystemClock:
    """`contracts.Clock` of this machine."""

    def now_us(self) -> int:
        """Microseconds since 1970 UTC."""
        return time.time_ns() // 1000
