"""The comparison of two reports of runs: bytes of `--json` in, rows with their differences out. Pure.

Worse is: a lower rate, a higher percentile or a higher share of errors, each beyond the tolerance; and more readings
lost, altered or wrongly shown, or more wrong answers, where nothing is tolerated.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import msgspec
from msgspec import Struct, field

from simulator.core.errors import UsageError
from simulator.plan.plan import TargetSpec
from simulator.plan.requirements import FOUND, PERCENTILES
from simulator.report.figures import errors_of, unknown_to
from simulator.send.latency import Percentiles
from simulator.send.results import LaneReport
from simulator.verify.referee import Verdict

_LEAST_MS = {"latency": 1.0, "until in state": 50.0, "until in stream": 10.0}
"""Latencies this close to each other are the same: so much is in the machine, or lies between two looks."""
_LEAST_PERCENT = 0.01
"""And so are shares of errors, in per cent of the attempts."""
_PERCENT = 100.0


class _Scenario(Struct):
    title: str


class _Plan(Struct):
    scenario: _Scenario
    target: TargetSpec = TargetSpec()


class Record(Struct):
    """What a report says of a run, as far as it is compared."""

    plan: _Plan
    elapsed_s: float
    wrong_answers: int
    lanes: list[LaneReport] = field(default_factory=list)
    verdict: Verdict | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One figure of both; None where a run does not know it. Rules are what makes `b` worse than `a`."""

    title: str
    unit: str
    a: float | None
    b: float | None
    rule: Literal["less", "more", "any"]
    least: float = 0.0
    """Differences up to this do not count."""

    @property
    def change(self) -> float | None:
        """The difference in per cent of `a`; None if there is none to be told."""
        if self.a is None or self.b is None or not self.a:
            return None
        return _PERCENT * (self.b - self.a) / self.a

    def is_worse(self, tolerance: float) -> bool:
        """Whether `b` is worse; `tolerance` is a share of `a`."""
        if self.a is None or self.b is None:
            return False
        worse_by = self.a - self.b if self.rule == "less" else self.b - self.a
        allowed = 0.0 if self.rule == "any" else max(self.least, self.a * tolerance)
        return worse_by > allowed


def read(content: bytes, name: str) -> Record:
    """Return what a report says. Raises UsageError for what is none, or has nothing to compare."""
    try:
        record = msgspec.json.decode(content, type=Record)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{name} is no report of `simulator run --json`: {error}.") from error
    if not record.elapsed_s or not record.lanes:
        raise UsageError(f"{name} says nothing of speed: it is not the report of a run that sent anything.")
    return record


def rows(a: Record, b: Record) -> list[Comparison]:
    """Return every figure of both. Raises UsageError if they sent over different transports."""
    over_a, over_b = ([lane.transport for lane in record.lanes] for record in (a, b))
    if over_a != over_b:
        raise UsageError(
            f"One run sent over {' and '.join(over_a)}, the other over {' and '.join(over_b)}: they cannot be compared."
        )
    return [row for lanes in zip(a.lanes, b.lanes, strict=True) for row in _of_lanes(a, b, *lanes)] + list(_found(a, b))


def parse_tolerance(text: str) -> float:
    """Return `10%` as 0.1. Raises UsageError."""
    number = text.strip().removesuffix("%").strip()
    if not number.replace(".", "", 1).isdecimal() or not number.isascii():
        raise UsageError(f"--tolerance: {text!r} is no share: write a number of per cent, as in 10%.")
    return float(number) / _PERCENT


def _of_lanes(a: Record, b: Record, x: LaneReport, y: LaneReport) -> Iterator[Comparison]:
    over = x.transport
    yield Comparison(
        title=f"{over} offered", unit="/s", a=x.offered / a.elapsed_s, b=y.offered / b.elapsed_s, rule="less",
        least=float("inf"),
    )  # fmt: skip
    yield Comparison(
        title=f"{over} acknowledged", unit="/s", a=x.acknowledged / a.elapsed_s, b=y.acknowledged / b.elapsed_s,
        rule="less",
    )  # fmt: skip
    for (what, before), after in zip(_latencies(x).items(), _latencies(y).values(), strict=True):
        if before is not None or after is not None:
            yield from _percentiles(f"{over} {what}", before, after, least=_LEAST_MS[what])
    yield Comparison(
        title=f"{over} errors",
        unit="%",
        a=errors_of([x]).percent,
        b=errors_of([y]).percent,
        rule="more",
        least=_LEAST_PERCENT,
    )


def _percentiles(
    title: str, before: Percentiles | None, after: Percentiles | None, *, least: float
) -> Iterator[Comparison]:
    for name in PERCENTILES:
        a, b = (getattr(each, name) if each is not None and each.count else None for each in (before, after))
        yield Comparison(
            title=f"{title} {name.replace('p999', 'p99.9')}", unit="ms", a=a, b=b, rule="more",
            least=float("inf") if name == "max" else least,
        )  # fmt: skip


def _latencies(lane: LaneReport) -> dict[str, Percentiles | None]:
    """Return the latencies by what they are called."""
    state, stream = (seen.latency if seen else None for seen in (lane.state, lane.stream))
    return {"latency": lane.latency, "until in state": state, "until in stream": stream}


def _found(a: Record, b: Record) -> Iterator[Comparison]:
    yield Comparison(title="wrong answers", unit="", a=a.wrong_answers, b=b.wrong_answers, rule="any")
    for name in FOUND:
        before, after = (_count(each.verdict, name) for each in (a, b))
        yield Comparison(title=name.replace("_", " "), unit="", a=before, b=after, rule="any")


def _count(verdict: Verdict | None, name: str) -> int | None:
    """Return what was found, None if it was not looked for."""
    if verdict is None or unknown_to(replace(verdict, unfinished=""), name):
        return None
    found: int = getattr(verdict.total, FOUND[name])
    return found
