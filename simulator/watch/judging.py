"""The judgement of a watch: observations, ledgers and the start of each part in, latencies and gaps out.

Pure. What the stream must show follows from docs/http-api.md alone. The newest reading of every series must come, in a
change or in the newest values of a `reset`. So must any other that is not in the same COMMIT as a newer one of its
device: one that the state showed before the next was due. What was sent before a later `reset`, or before `lagged`, is
excused, but for the newest. If the watch broke off, what the state showed shortly before may have been on its way: it
is missed only if the stream showed a newer one of its device, as it shows COMMITs in their order.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from simulator.core.times import time_of
from simulator.plan.fleet import Transport
from simulator.send.latency import Buckets, Latencies, buckets
from simulator.send.ledger import Ledger
from simulator.send.results import Seen
from simulator.verify.audit import Audit, Grid
from simulator.verify.findings import MAX_PROBLEMS, Findings, Problem
from simulator.watch.observations import Observations
from simulator.watch.sample import Cell, SeenAt, Watched

Flags = npt.NDArray[np.bool_]
"""One for each message of a device."""
_EARLY_S = 0.02
"""A sleep may end that much early, and a post be sent."""


@dataclass(slots=True)
class Judgement:
    """By part: what was seen in the state and in the stream; by transport: what is wrong with the stream."""

    state: dict[int, "Collected"] = field(default_factory=dict)
    stream: dict[int, "Collected"] = field(default_factory=dict)
    findings: dict[Transport, Findings] = field(default_factory=dict)
    unwatched: int = 0
    """Messages that were sent, and that nobody can tell of, since the watch broke off; and the first of them."""
    unwatched_examples: list[str] = field(default_factory=list)


class Collected:
    """Latencies of the messages of one part."""

    def __init__(self, phases: int) -> None:
        self.latencies = Latencies()
        self.phases = [Latencies() for _ in range(phases)]
        self.unseen = 0
        self.examples: list[str] = []
        self._by_second: defaultdict[int, list[float]] = defaultdict(list)

    def record(self, seconds: float, *, due: float, phase: int) -> None:
        """Take in a message that was due so long after the start."""
        self.latencies.record(seconds)
        self.phases[phase].record(seconds)
        self._by_second[int(due)].append(seconds)

    def miss(self, told: str) -> None:
        """Count a message that was not seen until the end, and keep it if it is one of the first."""
        self.unseen += 1
        if len(self.examples) < MAX_PROBLEMS:
            self.examples.append(told)

    def rows(self) -> Iterator[tuple[int, Buckets]]:
        """Yield for each second since the start what was due in it, as a timeline holds it."""
        for second, found in self._by_second.items():
            yield second, buckets(found)

    def seen(self) -> Seen:
        """Return it as results hold it."""
        return Seen(
            latencies=self.latencies.counts,
            phases=[phase.counts for phase in self.phases],
            unseen=self.unseen,
            examples=self.examples,
        )


@dataclass(frozen=True, slots=True)
class _Sent:
    """What became of the messages of a device: `due` on the run's clock, infinity for those never sent."""

    one: Watched
    required: Grid
    allowed: Grid
    due: SeenAt
    next_due: SeenAt
    """When the first newer message was due that is stored, or may be."""


def judge(
    observations: Observations,
    ledgers: Sequence[Ledger],
    *,
    began: Mapping[int, float],
    phases: int,
    now: float,
    sure_until: float = math.inf,
) -> Judgement:
    """Return what was seen until now; `began` says when each part, by its index, began to send.

    What the state showed, or was due, after `sure_until` may have been on its way when the watch broke off.
    """
    found = Judgement()
    for one in observations.watched:
        part = one.part
        if part.index not in began:
            continue
        sent = _sent(one, ledgers[part.index], began[part.index])
        for collected, seen_at in ((found.state, one.state_at), (found.stream, one.stream_at)):
            into = collected.setdefault(part.index, Collected(phases))
            _collect(into, sent, seen_at, now=now, sure_until=sure_until)
        findings = found.findings.setdefault(part.lane.transport, Findings())
        _find_gaps(findings, sent, excused_until=observations.forgiven_until, sure_until=sure_until)
        _find_refused(findings, sent)
        _list_unwatched(found, sent, sure_until)
    for transport, wrong in observations.wrong.items():
        found.findings.setdefault(transport, Findings()).add(wrong)
    return found


def _sent(one: Watched, ledger: Ledger, began: float) -> _Sent:
    audit = Audit(one.part.fleet, ledger, first=one.device, count=1)
    required, allowed = audit.required[0], audit.allowed[0]
    due = np.where(allowed.any(axis=1), began + one.due, math.inf)
    return _Sent(one, required, allowed, due, np.append(_least_from(due)[1:], math.inf))


def _told_of(one: Watched, sure_until: float) -> Grid:
    """Return the readings that the stream had the time to show: the state did, or it has shown a newer one itself."""
    return np.asarray((one.state_at <= sure_until) | _has_newer(one)[:, None])


def _has_newer(one: Watched) -> Flags:
    """Return of which messages the stream has shown a newer one of the same device."""
    shown = np.asarray(np.isfinite(_least_from(one.stream_at)).any(axis=1))
    return np.append(shown[1:], np.False_)


def _list_unwatched(found: Judgement, sent: _Sent, sure_until: float) -> None:
    one = sent.one
    is_told = (_least_from(one.state_at) <= sure_until).any(axis=1) | _has_newer(one)
    is_told |= np.isfinite(one.stream_at).any(axis=1)
    is_late = np.isfinite(sent.due) & (sent.due > sure_until)
    unknown = (is_late | sent.required.any(axis=1)) & ~is_told
    found.unwatched += int(unknown.sum())
    for n in np.flatnonzero(unknown)[: MAX_PROBLEMS - len(found.unwatched_examples)].tolist():
        found.unwatched_examples.append(_name(one, n))


def _collect(into: Collected, sent: _Sent, seen_at: SeenAt, *, now: float, sure_until: float) -> None:
    """Take the time of each message until all of it that is stored is shown, or newer values of the same series are.

    One that was sent after a newer one never shows, and is left out. One that was not seen takes until now at least; if
    it may have been on its way nothing is known of it.
    """
    shown = np.where(sent.required, _least_from(seen_at), -math.inf).max(axis=1, initial=-math.inf)
    for n in np.flatnonzero(sent.required.any(axis=1) & (sent.due <= sent.next_due)).tolist():
        due = float(sent.due[n])
        if math.isinf(shown[n]):
            if due > sure_until:
                continue
            into.miss(_name(sent.one, n))
        took = max(0.0, min(float(shown[n]), now) - due)
        into.record(took, due=float(sent.one.due[n]), phase=sent.one.phases[n])


def _name(one: Watched, n: int) -> str:
    return f"{one.name} {time_of(one.time_us(n))}"


def _find_gaps(findings: Findings, sent: _Sent, *, excused_until: float, sure_until: float) -> None:
    one, missing = sent.one, np.isinf(sent.one.stream_at)
    stored_by = np.where(sent.required, one.state_at, -math.inf).max(axis=1, initial=-math.inf)
    alone = (stored_by + _EARLY_S < sent.next_due) & (sent.due > excused_until)
    must = sent.required & alone[:, None]
    last = _newest(sent.required)
    must[last] = True
    must &= _told_of(one, sure_until)
    superseded = np.zeros_like(must)  # a newer one whose answer never came may have taken the place of the newest
    superseded[last] = ~np.isinf(_least_from(one.stream_at)[last])
    gaps = must & missing & ~superseded
    findings.stream_checked += int(must.sum())
    findings.stream_gaps += int(gaps.sum())
    for n, metric in np.argwhere(gaps)[:MAX_PROBLEMS].tolist():
        findings.note(_problem(one, "stream gap", n, metric))


def _find_refused(findings: Findings, sent: _Sent) -> None:
    shown = ~np.isinf(sent.one.stream_at) & ~sent.allowed
    findings.stream_wrong += int(shown.sum())
    for n, metric in np.argwhere(shown)[:MAX_PROBLEMS].tolist():
        findings.note(_problem(sent.one, "stream wrong", n, metric))


def _newest(required: Grid) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the cells of the newest reading of each series that has one."""
    metrics = np.flatnonzero(required.any(axis=0))
    return required.shape[0] - 1 - required[::-1, metrics].argmax(axis=0), metrics


def _least_from(times: SeenAt) -> SeenAt:
    """Return for each message the least time of it and all newer ones."""
    return np.asarray(np.minimum.accumulate(times[::-1], axis=0)[::-1])


def _problem(one: Watched, trouble: Literal["stream gap", "stream wrong"], n: int, metric: int) -> Problem:
    value = one.value(Cell(n, metric))
    detail = {
        "stream gap": f"acknowledged {value!r}, never shown",
        "stream wrong": f"shows {value!r}, which was refused, or never sent",
    }[trouble]
    return Problem(trouble, one.name, one.metric(metric), one.time_us(n), detail)
