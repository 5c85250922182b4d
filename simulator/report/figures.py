"""The figures of a run that a requirement may name: lanes and a verdict in, named numbers out. Pure."""

from collections.abc import Callable, Mapping, Sequence

from simulator.plan.requirements import FOUND, PERCENTILES, TRANSPORTS, Figure
from simulator.send.latency import Percentiles
from simulator.send.results import LaneReport
from simulator.verify.findings import Findings
from simulator.verify.referee import Verdict

_LATENCIES: Mapping[str, Callable[[LaneReport], Percentiles]] = {
    "ack": lambda lane: lane.latency,
    "state": lambda lane: lane.state.latency if lane.state else Percentiles(),
    "stream": lambda lane: lane.stream.latency if lane.stream else Percentiles(),
}


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
        **{name: _found(verdict, name, field) for name, field in FOUND.items()},
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
    for moment, latency_of in _LATENCIES.items():
        for over in (None, *TRANSPORTS):
            measured = [latency_of(lane) for lane in lanes if over in {None, lane.transport}]
            suffix = f"_{over}" if over else ""
            found |= {f"{name}_{moment}{suffix}": _worst(measured, name) for name in PERCENTILES}
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
    """Return why a verdict cannot tell a figure of `FOUND`; empty if it can."""
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
