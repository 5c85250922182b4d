"""Notes of a watch, a line a second, so that it outlives its process: observations in, lines out, and back. No I/O.

A line is JSON and ends with a line break. It holds what was seen first since the line before, and how the watch stands.
Each reading stands in at most two of them (state, stream), so their length is bounded by the watched readings, at some
20 bytes each time, and a few hundred bytes for each line. Whatever a line that was cut short, or harmed, would have
said, nobody knows: reading ends there.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Struct, field

from simulator.plan.fleet import Transport
from simulator.plan.plan import Plan
from simulator.send.ledger import Ledger
from simulator.verify.findings import Findings
from simulator.watch.judging import Judgement, judge
from simulator.watch.observations import Observations
from simulator.watch.sample import SeenAt, Watched, choose
from simulator.watch.summary import NOT_WATCHED, Watch


class _Seen(Struct, kw_only=True, array_like=True):
    """First observations, as columns: which watched device, message and metric, and when on the run's clock."""

    device: list[int] = field(default_factory=list)
    n: list[int] = field(default_factory=list)
    metric: list[int] = field(default_factory=list)
    at: list[float] = field(default_factory=list)


class Line(Struct, kw_only=True, forbid_unknown_fields=True):
    """How the watch stood at `until`, on the run's clock; `has_settled` if nothing more was waited for then."""

    until: float
    has_settled: bool
    watch: Watch
    forgiven_until: float
    state: _Seen
    stream: _Seen
    wrong: dict[Transport, Findings]


class Notes:
    """Writes the lines of one watch, each with what is new."""

    def __init__(self, observations: Observations) -> None:
        self._observations = observations
        self._noted = [_nothing_of(one.state_at) for one in observations.watched]
        self._noted_of_stream = [_nothing_of(one.stream_at) for one in observations.watched]

    def line(self, watch: Watch, *, until: float, has_settled: bool = False) -> bytes:
        """Return what has been seen since the line before."""
        observations = self._observations
        line = Line(
            until=until,
            has_settled=has_settled,
            watch=watch,
            forgiven_until=observations.forgiven_until,
            state=_new([one.state_at for one in observations.watched], self._noted),
            stream=_new([one.stream_at for one in observations.watched], self._noted_of_stream),
            wrong=observations.wrong,
        )
        return msgspec.json.encode(line) + b"\n"


def recall(content: bytes, observations: Observations) -> Line | None:
    """Put into new observations what the lines say; return the last line that is whole, None if there is none."""
    last: Line | None = None
    for line in _lines(content):
        if not _take(line, observations.watched):
            break
        last = line
    if last is not None:
        observations.forgiven_until = last.forgiven_until
        observations.wrong = last.wrong
    return last


def _lines(content: bytes) -> Iterator[Line]:
    *whole, _ = content.split(b"\n")
    for text in whole:
        try:
            yield msgspec.json.decode(text, type=Line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return


def _take(line: Line, watched: Sequence[Watched]) -> bool:
    """Put the observations of a line into their grids, all or none; return whether they are of these devices."""
    both = ((line.state, [one.state_at for one in watched]), (line.stream, [one.stream_at for one in watched]))
    if not all(_fits(seen, grids) for seen, grids in both):
        return False
    for seen, grids in both:
        for device, n, metric, at in zip(seen.device, seen.n, seen.metric, seen.at, strict=True):
            grids[device][n, metric] = at
    return True


def _fits(seen: _Seen, grids: Sequence[SeenAt]) -> bool:
    if not len(seen.device) == len(seen.n) == len(seen.metric) == len(seen.at):
        return False
    return all(
        0 <= device < len(grids) and 0 <= n < grids[device].shape[0] and 0 <= metric < grids[device].shape[1]
        for device, n, metric in zip(seen.device, seen.n, seen.metric, strict=True)
    )


def _nothing_of(times: SeenAt) -> npt.NDArray[np.bool_]:
    return np.zeros(times.shape, dtype=np.bool_)


def _new(grids: Sequence[SeenAt], noted: Sequence[npt.NDArray[np.bool_]]) -> _Seen:
    """Return what is in the grids and was not noted; note it."""
    seen = _Seen()
    for device, (times, known) in enumerate(zip(grids, noted, strict=True)):
        rows, metrics = np.nonzero(np.isfinite(times) & ~known)
        known[rows, metrics] = True
        seen.device += [device] * len(rows)
        seen.n += rows.tolist()
        seen.metric += metrics.tolist()
        seen.at += times[rows, metrics].round(6).tolist()
    return seen


ON_THE_WAY_S = 5.0
"""What was due so shortly before the watch broke off may have been on its way: as long as a run waits for news."""


def recalled(
    content: bytes, plan: Plan, ledgers: Sequence[Ledger], began: Mapping[int, float]
) -> tuple[Judgement, Watch]:
    """Return what the notes tell; `began` says when each part, by its index, began to send.

    Of a run that was killed they end with the last line that is whole, and what came after was not watched.
    """
    observations = Observations(choose(plan), clock=lambda: 0.0)
    line = recall(content, observations)
    if line is None or not began:
        return Judgement(), NOT_WATCHED
    sure_until = math.inf if line.has_settled else line.until - ON_THE_WAY_S
    found = judge(
        observations, ledgers, began=began, phases=len(plan.scenario.timeline), now=line.until, sure_until=sure_until
    )
    if line.has_settled:
        return found, line.watch
    told = replace(
        line.watch,
        broke_off_s=max(0.0, line.until - min(began.values())),
        unwatched=found.unwatched,
        unwatched_examples=tuple(found.unwatched_examples),
    )
    return found, told
