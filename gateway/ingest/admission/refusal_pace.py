"""The pace of refusals: how long an answer to somebody without a valid credential is held back.

So many a second are told at once. Beyond that each waits for its turn, two seconds at most: whoever floods with tokens
in a closed loop is served less often then, and leaves the time to those who are known. Pure: time is an argument.
"""

from random import Random

MOST_SECS = 2.0
"""Longest wait of anybody. Those who would wait longer wait for half of that at least, each for another time, so that
they do not come back together."""
BURST_SECS = 1.0
"""As many as in so many seconds are told at once after a quiet time."""


class RefusalPace:
    """The refusals of one worker, `per_sec` a second."""

    def __init__(self, per_sec: float, rng: Random) -> None:
        self._interval = 1.0 / per_sec
        self._rng = rng
        self._next = 0.0
        """When the next one is due, were there no burst."""

    def wait(self, now: float) -> float:
        """Count one refusal; return how many seconds it is held back."""
        self._next = max(self._next, now - BURST_SECS) + self._interval
        secs = self._next - now
        if secs > MOST_SECS:
            self._next = now + MOST_SECS
            return self._rng.uniform(MOST_SECS / 2, MOST_SECS)
        return max(0.0, secs)
