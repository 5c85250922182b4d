"""Requirements of a run: `p99_ack<200ms,lost=0,errors<0.1%` and figures in, what was met out. Pure."""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, Self

from simulator.core.errors import UsageError

FigureKind = Literal["time", "rate", "share", "count"]
"""Milliseconds; readings a second; a count that may be asked for in per cent of a whole; a count."""
PERCENTILES = ("p50", "p90", "p99", "p999", "max")
TRANSPORTS = ("http", "mqtt")
MOMENTS = ("ack", "state", "stream")
"""Until when latencies count: the answer, the first sight in the state, that in the live stream."""
FOUND: Mapping[str, str] = {
    "lost": "lost", "duplicated": "duplicated", "altered": "wrong", "unexpected": "unexpected",
    "state_wrong": "state_wrong", "stream_gaps": "stream_gaps", "stream_wrong": "stream_wrong",
}  # fmt: skip
"""What only a verification can tell, by the name of its count in `Findings`."""

KINDS: Mapping[str, FigureKind] = {
    **{f"{name}_{moment}": "time" for moment in MOMENTS for name in PERCENTILES},
    **{f"{name}_{moment}_{over}": "time" for moment in MOMENTS for over in TRANSPORTS for name in PERCENTILES},
    "rate": "rate",
    "errors": "share",
    "unacknowledged": "share",
    "unsent": "share",
    "wrong_answers": "count",
    **dict.fromkeys(FOUND, "count"),
}
"""Every figure that a requirement may name."""
_FORM = re.compile(r"\s*([A-Za-z0-9_.]+)\s*(<=|>=|==|=|<|>)\s*(\d+(?:_\d+)*(?:\.\d+)?)\s*([a-z/%]*)\s*")
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt, "<=": operator.le, "=": operator.eq, "==": operator.eq, ">=": operator.ge, ">": operator.gt,
}  # fmt: skip
_UNITS: dict[FigureKind, dict[str, float]] = {
    "time": {"ms": 1.0, "s": 1_000.0, "us": 0.001},
    "rate": {"": 1.0, "/s": 1.0},
    "share": {"": 1.0, "%": 1.0},
    "count": {"": 1.0},
}
"""Units by kind, each with its factor to what figures are in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One number. `whole` is what its share is taken of; `unknown` says why it cannot be told, if so."""

    value: float = 0.0
    whole: float = 0.0
    unknown: str = ""

    @property
    def percent(self) -> float:
        """The share of the whole, in per cent; 0 of nothing."""
        return 100 * self.value / self.whole if self.whole else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One condition: `text` as it was written, `limit` in the figure's own unit, or per cent of its whole."""

    text: str
    name: str
    compare: str
    limit: float
    unit: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raise UsageError for what is no condition."""
        match = _FORM.fullmatch(text)
        if match is None:
            raise UsageError(
                f"--require: {text.strip()!r} is no condition. Write a name, one of < <= = >= >, and a number, "
                "as in p99_ack<200ms,lost=0,errors<0.1%."
            )
        name, compare, number, unit = match.groups()
        kind = KINDS.get(name)
        if kind is None:
            raise UsageError(f"--require: there is no figure {name!r}. Known are {', '.join(KINDS)}.")
        if unit not in _UNITS[kind]:
            raise UsageError(f"--require: {text.strip()!r}: {name} is given {_told(kind)}.")
        limit = float(number) * _UNITS[kind][unit]
        return cls(text="".join(text.split()), name=name, compare=compare, limit=limit, unit=unit)

    def check(self, figures: Mapping[str, Figure]) -> "RequirementResult":
        """Hold the condition against the figures of a run; what cannot be told does not meet it."""
        figure = figures[self.name]
        if figure.unknown:
            return RequirementResult(self.text, is_met=False, value=None, told=f"cannot be told: {figure.unknown}")
        value = figure.percent if self.unit == "%" else figure.value
        return RequirementResult(
            self.text, is_met=_COMPARE[self.compare](value, self.limit), value=value, told=self._say(value)
        )

    def _say(self, value: float) -> str:
        kind = KINDS[self.name]
        if kind == "time":
            return f"{value:,.1f} ms"
        if kind == "rate":
            return f"{value:,.0f} /s"
        return f"{value:.3g} %" if self.unit == "%" else f"{value:,.0f}"


@dataclass(frozen=True, slots=True)
class RequirementResult:
    """What became of a requirement; `value` in ms, readings a second, per cent or a count, None if unknown."""

    requirement: str
    is_met: bool
    value: float | None
    told: str
    """The value in words."""

    def left_open(self, why: str) -> "RequirementResult":
        """Return the same of a run that cannot meet anything."""
        return replace(self, is_met=False, told=f"{self.told}, but {why}")


def parse(text: str) -> list[Requirement]:
    """Return the conditions of a list with commas, none for an empty text. Raises UsageError."""
    return [Requirement.parse(one) for one in text.split(",")] if text.strip() else []


def _told(kind: FigureKind) -> str:
    units = [unit for unit in _UNITS[kind] if unit]
    with_unit = f"in {' or '.join(units)}" if units else ""
    if "" not in _UNITS[kind]:
        return with_unit
    return f"as a number alone, or {with_unit}" if units else "as a number alone"
