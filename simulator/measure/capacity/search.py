"""Look for the highest rate that is held: what tries a rate in, trials out. Knows nothing of how a rate is tried.

Doubles from the first rate until one breaks, halves if the first breaks, then goes to the middle of the highest that
held and the lowest that broke until they are close. The number of trials is bounded by the logarithms of both.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from simulator.measure.capacity.limits import GENERATOR, Trial

Attempt = Callable[[float], Awaitable[Trial | None]]
"""Try a rate; None if the search is to end here."""
_MAX_HALVINGS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """What a search came to; `most` is the highest rate it would have tried, `ended` why it ended early, if it did."""

    trials: Sequence[Trial]
    most: float
    ended: str = ""

    @property
    def broke(self) -> Trial | None:
        """The lowest rate that broke."""
        return min((trial for trial in self.trials if not trial.is_held), key=lambda trial: trial.rate, default=None)

    @property
    def held(self) -> Trial | None:
        """The highest rate that was held, below the lowest that broke."""
        top = self.broke.rate if self.broke else float("inf")
        held = [trial for trial in self.trials if trial.is_held and trial.rate < top]
        return max(held, key=lambda trial: trial.rate, default=None)

    @property
    def unverified(self) -> str:
        """Why what was acknowledged at the highest rate held was not looked for; empty if it was, or none was held."""
        return self.held.unverified if self.held else ""

    @property
    def exit_code(self) -> int:
        """0 if it was found, 1 if not even the lowest rate was held, 2 if it could not be told."""
        if self.ended or (self.broke is not None and self.broke.first == GENERATOR):
            return 2
        return 0 if self.held is not None else 1


async def search(attempt: Attempt, *, first: float, most: float, precision: float) -> list[Trial]:
    """Return all trials in order. `precision` is how close, as a share, held and broken must come."""
    trials: list[Trial] = []
    low, high = 0.0, 0.0
    rate = min(first, most)
    while True:
        trial = await attempt(rate)
        if trial is None:
            return trials
        trials.append(trial)
        low, high = (rate, high) if trial.is_held else (low, rate)
        if _is_done(low, high, first=first, most=most, precision=precision):
            return trials
        rate = _next(low, high, most=most)


def _is_done(low: float, high: float, *, first: float, most: float, precision: float) -> bool:
    if not high:
        return low >= most
    if not low:
        return high * 2.0**_MAX_HALVINGS <= first
    return high <= low * (1 + precision)


def _next(low: float, high: float, *, most: float) -> float:
    if not high:
        return min(low * 2, most)
    return (low + high) / 2
