"""The limits that a rate must keep to be held: a report and limits in, what broke first out. Pure."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from simulator.measure.capacity.options import SearchOptions
from simulator.report.figures import errors_of
from simulator.report.report import BUSY_CPU, Report
from simulator.send.latency import percentiles
from simulator.send.results import LaneReport
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
