"""The search for the highest rate that a gateway holds: options in, trials out. Each is a run with devices of its own.

Doubles from the first rate until one breaks, halves if the first breaks, then goes to the middle of the highest that
held and the lowest that broke until they are close. The number of trials is bounded by the logarithms of both.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass

from simulator.core.errors import Unreachable
from simulator.measure.capacity.options import CapacityOptions, SearchOptions
from simulator.measure.run import ScenarioRun
from simulator.report.figures import errors_of
from simulator.report.report import BUSY_CPU, Report
from simulator.send.latency import percentiles
from simulator.send.results import LaneReport
from simulator.send.sender import ShowProgress
from simulator.send.timeline import Row

GENERATOR = "the generator"
_MAX_REASONS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """One limit that did not hold, in words; `second` is when it first did not, as far as one can tell.

    `is_late` says that a generator that is held back would break it, too: it cannot make a gateway refuse or lose.
    """

    told: str
    second: float
    is_late: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One rate, offered for a while. `broken` is empty if it was held, else what broke first comes first.

    `held_back` says why the generator was the bottleneck, if it was and all that broke may be its own doing.
    """

    rate: float
    acknowledged: float
    """Readings a second."""
    p99: float
    errors: float
    broken: tuple[str, ...] = ()
    held_back: str = ""
    unverified: str = ""
    """Why nobody looked for what was acknowledged; empty if it was looked for, to the end."""

    @property
    def is_held(self) -> bool:
        """Whether every limit held."""
        return not self.broken

    @property
    def first(self) -> str:
        """What broke first; the generator, if it was held back. Empty if nothing broke."""
        return "" if self.is_held else GENERATOR if self.held_back else self.broken[0]


def judge(report: Report, limits: SearchOptions, *, rate: float) -> Trial:
    """Hold a run against the limits."""
    broken = sorted(_broken(report, limits), key=lambda one: one.second)
    acknowledged = sum(lane.acknowledged for lane in report.lanes)
    return Trial(
        rate=rate,
        acknowledged=acknowledged / report.elapsed if report.elapsed else 0.0,
        p99=max(lane.latency.p99 for lane in report.lanes),
        errors=errors_of(report.lanes).percent,
        broken=tuple(one.told for one in broken),
        held_back=report.held_back if all(one.is_late for one in broken) else "",
        unverified=_unverified(report),
    )


def _unverified(report: Report) -> str:
    """Return why it is not known whether all that was acknowledged is stored; empty if it is."""
    verdict = report.verdict
    if verdict is None:
        return "give --database to have it looked for" if report.plan.target.kind == "gateway" else "--no-verify"
    if not verdict.stored_checked:
        return verdict.stored_unchecked or "what is stored was not looked at"
    return verdict.unfinished


def _broken(report: Report, limits: SearchOptions) -> Iterator[Broken]:
    for lane in report.lanes:
        if lane.latency.p99 > limits.p99:
            second = _first(report, lambda row: percentiles(row.latencies).get("p99", 0.0) > limits.p99)
            told = f"p99 over {lane.transport.upper()} {lane.latency.p99:,.0f} ms, more than {limits.p99:g} ms"
            yield Broken(told=told, second=second, is_late=_may_be_ours(report, lane, lane.latency.p99 - limits.p99))
    share = errors_of(report.lanes).percent
    if share > limits.errors:
        told = f"{share:.3g} % of the attempts failed ({why(report)}), more than {limits.errors:g} %"
        yield Broken(told=told, second=_first(report, lambda row: bool(row.errors)))
    yield from _missing(report)


def _may_be_ours(report: Report, lane: LaneReport, ms: float) -> bool:
    """Whether a generator as late, or as busy, as this one was may have added so much to latencies by itself."""
    return report.cpu > BUSY_CPU or lane.lateness.max >= ms


def why(report: Report) -> str:
    """Return what most of the attempts failed of: a reason to come again, or an answer that is wrong."""
    reasons = Counter(example.got for example in report.score.examples)
    for lane in report.lanes:
        reasons.update(lane.errors)
    return ", ".join(reason for reason, _ in reasons.most_common(_MAX_REASONS)) or "no reason was given"


def _missing(report: Report) -> Iterator[Broken]:
    """Yield what shows in the end: readings given up, and what a verification found."""
    give_up_ms = report.plan.scenario.give_up * 1_000
    for name in ("unsent", "unacknowledged"):
        count = sum(getattr(lane, name) for lane in report.lanes)
        if count:
            is_late = name == "unsent" and any(_may_be_ours(report, lane, give_up_ms) for lane in report.lanes)
            yield Broken(told=f"{count:,} readings {name}", second=report.elapsed, is_late=is_late)
    for failure in report.failures:
        yield Broken(told=failure, second=report.elapsed)
    if report.verdict is not None and report.verdict.unfinished:
        yield Broken(told=f"not verified: {report.verdict.unfinished}", second=report.elapsed)


def _first(report: Report, is_so: Callable[[Row], bool]) -> float:
    """Return the first second of which this is so; the end if it is so of none."""
    seconds = [
        at * timeline.width
        for timeline in report.timelines.values()
        for at, row in enumerate(timeline.rows)
        if is_so(row)
    ]
    return min(seconds, default=report.elapsed)


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
