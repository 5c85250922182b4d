"""The search for the highest rate that a gateway holds: options in, trials out. Each is a run with devices of its own.

Doubles from the first rate until one breaks, halves if the first breaks, then goes to the middle of the highest that
held and the lowest that broke until they are close. The number of trials is bounded by the logarithms of both.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from simulator.core.errors import Unreachable
from simulator.measure.capacity.limits import GENERATOR, Trial, judge, why
from simulator.measure.capacity.options import CapacityOptions
from simulator.measure.run import ScenarioRun
from simulator.report.report import Report
from simulator.send.sender import ShowProgress

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


class Trials:
    """One search. `look` does all of it, once; `say` is told each trial."""

    def __init__(
        self, scenario: str | None, options: CapacityOptions, *, watch: ShowProgress, say: Callable[[Trial], None]
    ) -> None:
        """Raise UsageError for options that make no sense."""
        options.check()
        self._scenario = scenario
        self._options = options
        self._watch = watch
        self._say = say
        self._most = options.most(scenario, now_ms=_now_ms())
        self._run: ScenarioRun | None = None
        self._made = 0
        self._ended = ""

    def stop(self) -> None:
        """End the search; the rate that is being tried does not count."""
        self._ended = "stopped"
        if self._run is not None:
            self._run.stop()

    async def look(self) -> Capacity:
        """Search. Raises UsageError and Unreachable, but not once there is something to tell."""
        asked = self._options.search
        trials = await search(self._try, first=asked.first, most=self._most, precision=asked.precision / 100)
        return Capacity(trials=trials, most=self._most, ended=self._ended)

    async def _try(self, rate: float) -> Trial | None:
        options = self._options
        if self._made:
            await asyncio.sleep(options.search.rest)
        if self._ended:
            return None
        self._run = ScenarioRun(options.run_options(), options.plan(self._scenario, rate, now_ms=_now_ms()))
        try:
            report = await self._run.execute(self._watch, on_sent=lambda: None)
        except Unreachable as error:
            if not self._made:
                raise
            self._ended = str(error)
            return None
        if not self._ended and _is_refused(report):
            self._ended = f"nothing is acknowledged at any rate: {why(report)}; {'; '.join(report.notes)}"
        if self._ended:
            return None
        trial = judge(report, options.search, rate=rate)
        self._made += 1
        self._say(trial)
        return trial


def _is_refused(report: Report) -> bool:
    """Whether all was refused for good: a lower rate would be refused as well."""
    tried_again = any(lane.errors for lane in report.lanes)
    return bool(report.wrong_answers) and not tried_again and not any(lane.acknowledged for lane in report.lanes)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
