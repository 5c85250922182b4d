"""The summary of a watch: how well was watched, and what was seen, put where reports look for it. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from simulator.plan.plan import Plan
from simulator.send.results import PartResult, WorkerResult
from simulator.send.timeline import Row, Timeline
from simulator.verify.findings import Findings
from simulator.verify.referee import Verdict
from simulator.watch.judging import Collected, Judgement
from simulator.watch.stream import EVERY_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What was watched, and how well. `…_unwatched` says why not, if so."""

    devices: int = 0
    state_every_ms: float = EVERY_S * 1_000
    """So much later than it was there a value may have been seen in the state."""
    state_reads: int = 0
    state_reads_failed: int = 0
    state_reads_left_out: int = 0
    """Questions that were not asked in time, since others had no answer yet or the machine was busy."""
    state_unwatched: str = ""
    stream_connections: int = 0
    stream_resets: Mapping[str, int] = field(default_factory=dict)
    """How often the stream began anew, by the reason it gave; `start` is its beginning."""
    stream_skipped: int = 0
    """Values that it says it left out, since we were too slow."""
    stream_unwatched: str = ""
    unkept: str = ""
    """Why what was seen is not kept beside the ledger to the end, if it was to be."""
    broke_off_s: float | None = None
    """Seconds from the start to the last note of a watch that was killed; None of one that came to its end."""
    unwatched: int = 0
    """Messages of watched devices that were sent, of which such a watch cannot tell; the first of them by device and
    time."""
    unwatched_examples: tuple[str, ...] = ()


NOT_WATCHED = Watch(
    state_unwatched="only a run can watch it, while it sends",
    stream_unwatched="only a run can watch it, while it sends",
)


def tell_parts(parts: Mapping[int, PartResult], found: Judgement, told: Watch) -> None:
    """Say of each part, by its index, how long its messages took to be seen where it was watched."""
    for index, result in parts.items():
        state, stream = _seen(index, found, told)
        result.state, result.stream = state.seen() if state else None, stream.seen() if stream else None


def tell_timelines(plan: Plan, results: Sequence[WorkerResult], found: Judgement, told: Watch) -> None:
    """Add the same, second by second, to the timelines of the processes that sent."""
    for part in plan.parts():
        timeline = results[part.worker].timelines.setdefault(part.lane.transport, Timeline())
        state, stream = _seen(part.index, found, told)
        for second, seen in state.rows() if state else ():
            timeline.put(second, Row(state=seen))
        for second, seen in stream.rows() if stream else ():
            timeline.put(second, Row(stream=seen))


def tell_verdict(verdict: Verdict, found: Judgement, told: Watch) -> None:
    """Add what the stream left out, or showed and should not have; or why that is not known."""
    verdict.stream_unchecked = told.stream_unwatched
    if verdict.stream_unchecked:
        return
    for transport, findings in found.findings.items():
        verdict.findings.setdefault(transport, Findings()).add(findings)


def _seen(index: int, found: Judgement, told: Watch) -> tuple[Collected | None, Collected | None]:
    """Return what was seen of a part in the state and in the stream; None where it was not watched."""
    state = None if told.state_unwatched else found.state.get(index)
    return state, None if told.stream_unwatched else found.stream.get(index)
