"""The still clock: a loop and the functions of `time`, whose time goes on only when there is nothing left to do.

In: whatever runs on it. Out: the same order of the same calls each time, however slow the machine. A count must not
depend on whether 50 ms have passed, and under valgrind they always have.
"""

import asyncio
import selectors
import time
from functools import partial
from itertools import repeat
from typing import Any

STOOD_STILL = 1_000.0
"""What a clock of `time` shows (s)."""
NOW_US = 1_764_500_000_000_000
"""What the gateway's own clock shows."""
STUCK_SECS = 600.0
"""Of its own time, after which a run is taken for stuck: some timers come again for ever."""


class StuckError(Exception):
    """Everything waits, and nothing will ever come."""


class StillLoop(asyncio.SelectorEventLoop):
    """asyncio's own loop with a time of its own: uvloop's timers cannot be held, so it is not what is counted on."""

    def __init__(self) -> None:
        self.now = STOOD_STILL
        super().__init__(_Leaping(self))

    def time(self) -> float:
        return self.now


class _Leaping(selectors.EpollSelector):
    """Never waits for a timer: where no socket is ready, it is the timer's time at once."""

    def __init__(self, loop: StillLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if not ready and timeout is not None:
            self._loop.now += timeout
        if not ready and (timeout is None or self._loop.now > STOOD_STILL + STUCK_SECS):
            raise StuckError
        return ready


def hold_clocks() -> None:
    """Have the clocks of `time` stand still; call it before what imports them by name is imported."""
    for name in ("monotonic", "perf_counter", "process_time"):
        setattr(time, name, partial(next, repeat(STOOD_STILL)))  # C all through: no Python is counted for it
    time.time = partial(next, repeat(NOW_US / 1e6))
