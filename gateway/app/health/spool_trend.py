"""Trend of a spool: when it will be full, and how long nothing has left it. Pure and bounded."""

from collections import deque

WINDOW = 20
"""Looks that the present rate is taken from."""
LEAST_SECS = 3.0
"""Over less than this there is no rate."""


class Trend:
    """The last looks at a spool; times are seconds of a clock that never goes back."""

    def __init__(self) -> None:
        self._sizes: deque[tuple[float, int]] = deque(maxlen=WINDOW)
        self._last: tuple[int, int | None] = (0, None)
        self._moved = 0.0
        self.still_secs = 0.0
        """How long something has waited and nothing has left, although it could."""

    def note(self, now: float, *, rows: int, size: int, oldest_us: int | None, away: bool) -> None:
        """Take note of messages, bytes and the oldest record; `away`: nothing can leave now."""
        self._sizes.append((now, size))
        last_rows, last_oldest = self._last
        if away or rows == 0 or rows < last_rows or oldest_us != last_oldest:
            self._moved = now
        self._last = (rows, oldest_us)
        self.still_secs = now - self._moved

    def full_in_secs(self, room: int) -> float | None:
        """Return when so many bytes of room will be used up at the present rate; None if it does not grow."""
        if not self._sizes:
            return None
        (began, first), (now, last) = self._sizes[0], self._sizes[-1]
        if now - began < LEAST_SECS or last <= first:
            return None
        return max(0, room) * (now - began) / (last - first)
