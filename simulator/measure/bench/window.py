"""A span of time to measure in: a length in, "is it still open?" out. No I/O; the clock comes in."""

from simulator.send.pacing import Clock


class Window:
    """Open for `seconds` from `open` on, or until it is closed early; closed once, it stays closed."""

    def __init__(self, seconds: float, *, clock: Clock) -> None:
        self.seconds = seconds
        self.clock = clock
        self._end = 0.0
        self._is_closed = False

    def open(self) -> float:
        """Begin now; return the time."""
        now = self.clock()
        self._end = now + self.seconds
        return now

    @property
    def is_open(self) -> bool:
        """Whether there is time left."""
        return not self._is_closed and self.clock() < self._end

    def close(self) -> None:
        """End here, or before it has begun."""
        self._is_closed = True
