"""The figures of a run that a requirement may name: lanes and a verdict in, named numbers out. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from simulator.send.latency import Percentiles
from simulator.send.results import LaneReport
from simulator.verify.findings import Findings
from simulator.verify.referee import Verdict

Kind = Literal["time", "rate", "share", "count"]
"""Milliseconds; readings a second; a count that may be asked for in per cent of a whole; a count."""

_PERCENTILES = ("p50", "p90", "p99", "p999", "max")
_TRANSPORTS = ("http", "mqtt")
_MOMENTS: Mapping[str, Callable[[LaneReport], Percentiles]] = {
    "ack": lambda lane: lane.latency,
    "state": lambda lane: lane.state.latency if lane.state else Percentiles(),
    "stream": lambda lane: lane.stream.latency if lane.stream else Percentiles(),
}
"""Until when latencies count: the answer, the first sight in the state, that in the live stream."""
_FOUND = {
    "lost": "lost", "duplicated": "duplicated", "altered": "wrong", "unexpected": "unexpected",
    "state_wrong": "state_wrong", "stream_gaps": "stream_gaps", "stream_wrong": "stream_wrong",
}  # fmt: skip
"""What a verification finds, by the name of its count in `Findings`."""

KINDS: Mapping[str, Kind] = {
    **{f"{name}_{moment}": "time" for moment in _MOMENTS for name in _PERCENTILES},
    **{f"{name}_{moment}_{over}": "time" for moment in _MOMENTS for over in _TRANSPORTS for name in _PERCENTILES},
    "rate": "rate",
    "errors": "share",
    "unacknowledged": "share",
    "unsent": "share",
    "wrong_answers": "count",
    **dict.fromkeys(_FOUND, "count"),
}
"""Every name there is."""
VERIFIED = frozenset(_FOUND)
"""Those that only a verification can tell."""


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


def figures_of(
    lanes: Sequence[LaneReport], *, elapsed: float, wrong_answers: int, verdict: Verdict | None
) -> dict[str, Figure]:
    """Return a figure for each name in `KINDS`."""
    return {
        **_times(lanes),
        "rate": _rate(lanes, elapsed),
        "errors": errors_of(lanes),
        "unacknowledged": _share(lanes, "unacknowledged"),
        "unsent": _share(lanes, "unsent"),
        "wrong_answers": Figure(value=wrong_answers),
        **{name: _found(verdict, name, field) for name, field in _FOUND.items()},
    }


def errors_of(lanes: Sequence[LaneReport]) -> Figure:
    """Return attempts that came to nothing and wrong answers, of all attempts."""
    failed = sum(sum(lane.errors.values()) for lane in lanes)
    wrong = sum(sum(lane.wrong_answers.values()) for lane in lanes)
    settled = sum(lane.latency.count for lane in lanes)
    return Figure(value=failed + wrong, whole=max(settled + failed, failed + wrong))


def _times(lanes: Sequence[LaneReport]) -> dict[str, Figure]:
    """Return latencies; of several transports together the worst."""
    found: dict[str, Figure] = {}
    for moment, latency_of in _MOMENTS.items():
        for over in (None, *_TRANSPORTS):
            measured = [latency_of(lane) for lane in lanes if over in {None, lane.transport}]
            suffix = f"_{over}" if over else ""
            found |= {f"{name}_{moment}{suffix}": _worst(measured, name) for name in _PERCENTILES}
    return found


def _worst(measured: Sequence[Percentiles], name: str) -> Figure:
    values = [getattr(one, name) for one in measured if one.count]
    return Figure(value=max(values)) if values else Figure(unknown="nothing was measured")


def _rate(lanes: Sequence[LaneReport], elapsed: float) -> Figure:
    acknowledged = sum(lane.acknowledged for lane in lanes)
    return Figure(value=acknowledged / elapsed) if elapsed else Figure(unknown="nothing was measured")


def _share(lanes: Sequence[LaneReport], name: str) -> Figure:
    return Figure(value=sum(getattr(lane, name) for lane in lanes), whole=sum(lane.offered for lane in lanes))


def _found(verdict: Verdict | None, name: str, field: str) -> Figure:
    unknown = unknown_to(verdict, name)
    total = verdict.total if verdict else Findings()
    return Figure(value=getattr(total, field), unknown=unknown)


def unknown_to(verdict: Verdict | None, name: str) -> str:
    """Return why a verdict cannot tell a figure of `VERIFIED`; empty if it can."""
    if verdict is None:
        return "not verified"
    if name == "state_wrong":
        return verdict.states_unchecked
    if name in {"stream_gaps", "stream_wrong"}:
        return verdict.stream_unchecked
    if not verdict.stored_checked:
        return verdict.stored_unchecked or verdict.unfinished or "what is stored was not looked at"
    if name == "duplicated" and not verdict.twins_shown:
        return "only the database shows it"
    return verdict.unfinished
