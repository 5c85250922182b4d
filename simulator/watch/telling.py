"""Put what was seen where reports look for it: a judgement in; results, timelines and a verdict filled. Pure."""

from collections.abc import Mapping, Sequence

from simulator.plan.plan import Plan
from simulator.send.results import PartResult, WorkerResult
from simulator.send.timeline import Row, Timeline
from simulator.verify.findings import Findings
from simulator.verify.referee import Verdict
from simulator.watch.judging import Collected, Judgement
from simulator.watch.watch import Watch


def tell_parts(parts: Mapping[int, PartResult], found: Judgement, told: Watch) -> None:
    """Say of each part, by its index, how long its messages took to be seen where it was watched."""
    for index, result in parts.items():
        if not told.state_unwatched and index in found.state:
            result.state = found.state[index].seen()
        if not told.stream_unwatched and index in found.stream:
            result.stream = found.stream[index].seen()


def tell_timelines(plan: Plan, results: Sequence[WorkerResult], found: Judgement, told: Watch) -> None:
    """Add the same, second by second, to the timelines of the processes that sent."""
    for part in plan.parts():
        timeline = results[part.worker].timelines.setdefault(part.lane.transport, Timeline())
        for second, seen in _rows(found.state.get(part.index), is_told=not told.state_unwatched):
            timeline.put(second, Row(state=seen))
        for second, seen in _rows(found.stream.get(part.index), is_told=not told.stream_unwatched):
            timeline.put(second, Row(stream=seen))


def tell_verdict(verdict: Verdict, found: Judgement, told: Watch) -> None:
    """Add what the stream left out, or showed and should not have; or why that is not known."""
    verdict.stream_unchecked = told.stream_unwatched
    if verdict.stream_unchecked:
        return
    for transport, findings in found.findings.items():
        verdict.findings.setdefault(transport, Findings()).add(findings)


def _rows(collected: Collected | None, *, is_told: bool) -> list[tuple[int, dict[int, int]]]:
    return list(collected.rows()) if collected is not None and is_told else []
