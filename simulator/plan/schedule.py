"""The timetable: when each post is due, in seconds from the start, while the rate is steady, rises or falls. Pure."""

from bisect import bisect_right
from itertools import accumulate
from math import sqrt

from simulator.core.errors import UsageError
from simulator.plan.scenario import Phase

_FOR_EVER = (Phase(name="all", seconds=1e18),)

_EVEN = 1e-9
"""Factors closer to each other than this are the same."""


class Timetable:
    """The posts of a lane over the phases of a scenario; `rate` in posts a second where the factor is 1.

    A later post is never due earlier.
    """

    def __init__(self, phases: tuple[Phase, ...] = _FOR_EVER, *, rate: float) -> None:
        """Without phases it is the same rate for ever. Raise UsageError for phases in which nothing is sent."""
        self._phases = phases
        self._rate = rate
        lengths = [phase.seconds for phase in phases]
        posts = [rate * phase.seconds * (phase.begin + phase.end) / 2 for phase in phases]
        self._starts = [0.0, *accumulate(lengths)]
        self._before = [0.0, *accumulate(posts)]
        if not self._before[-1]:
            raise UsageError("The phases of the scenario send nothing.")

    @property
    def posts(self) -> int:
        """Posts in all, at least one."""
        return max(1, round(self._before[-1]))

    def due(self, number: int) -> float:
        """Return when post `number` is due, in seconds from the start."""
        at = self.phase_of(number)
        phase, rest = self._phases[at], (number - self._before[at]) / self._rate
        bend = (phase.end - phase.begin) / phase.seconds
        if abs(phase.end - phase.begin) < _EVEN:
            return self._starts[at] + (rest / phase.begin if phase.begin else 0.0)
        root = sqrt(max(0.0, phase.begin**2 + 2 * bend * rest))
        return self._starts[at] + min(phase.seconds, 2 * rest / (phase.begin + root) if rest > 0 else 0.0)

    def count(self, elapsed: float) -> int:
        """Return how many posts are due by then; one too many when all are."""
        if elapsed < 0:
            return 0
        at = min(bisect_right(self._starts, elapsed), len(self._phases)) - 1
        phase = self._phases[at]
        t = min(elapsed - self._starts[at], phase.seconds)
        done = phase.begin * t + (phase.end - phase.begin) * t * t / (2 * phase.seconds)
        return int(self._before[at] + self._rate * done) + 1

    def phase_of(self, number: int) -> int:
        """Return which phase a post belongs to, from 0."""
        return max(0, min(bisect_right(self._before, number), len(self._phases)) - 1)
