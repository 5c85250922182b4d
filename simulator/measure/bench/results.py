"""The tally of a measurement, answers and their times in, totals and percentiles out; and the results of a bench. Pure.

An answer that is not what the documented API promises for the request counts as a fault, and for nothing else.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Self

from simulator.core.json_objects import object_of
from simulator.measure.bench.processes import Component
from simulator.measure.bench.workloads import WORKLOADS, Setup, Workload
from simulator.send.latency import Latencies, Percentiles, summary
from simulator.send.pacing import Clock

_OK = 200
_MAX_KNOWN = 64

Judge = Callable[[int, bytes], str]
"""(status, body) → what is wrong with the answer, in a word to count by; empty if nothing is."""


class Tally:
    """What became of the requests of one measurement, `elapsed` seconds long up to the last answer."""

    def __init__(self, judge: Judge, *, items: int) -> None:
        """`items`: what a good answer counts for."""
        self.answers = 0
        self.elapsed = 0.0
        self.faults: Counter[str] = Counter()
        self.beside: Self | None = None
        """Of state reads that ran beside it."""
        self._judge = judge
        self._items = items
        self._latencies = Latencies()

    @property
    def items(self) -> int:
        """Readings acknowledged, or states read."""
        return self.answers * self._items

    def take(self, status: int, body: bytes, seconds: float) -> bool:
        """Count an answer; return whether it was a good one."""
        fault = self._judge(status, body)
        if fault:
            self.faults[fault] += 1
            return False
        self.answers += 1
        self._latencies.record(seconds)
        return True

    def times(self) -> Percentiles:
        """Return the percentiles of the good answers."""
        return summary([self._latencies.counts])


class ReceiptJudge:
    """Wants every reading of a post accepted, durable in the database, and all or none of them a duplicate.

    Equal receipts are equal bytes, so each is parsed once.
    """

    def __init__(self, *, readings: int, repeats: bool) -> None:
        counts = {"accepted": readings, "duplicates": readings if repeats else 0, "conflicts": 0, "refused": 0}
        self._wanted: dict[str, object] = {**counts, "durability": "db"}
        self._good: set[bytes] = set()

    def __call__(self, status: int, body: bytes) -> str:
        """Judge an answer; see `Judge`."""
        if status == _OK and body in self._good:
            return ""
        receipt = object_of(body)
        if status != _OK:
            return f"http_{status}{_first_code(receipt)}"
        for name, value in self._wanted.items():
            if receipt.get(name) != value:
                return f"{name}_{receipt.get(name)}"
        if len(self._good) < _MAX_KNOWN:
            self._good.add(body)
        return ""


def _wanting(part: bytes, otherwise: str) -> Judge:
    return lambda status, body: f"http_{status}" if status != _OK else "" if part in body else otherwise


judge_state = _wanting(b'"metrics":{"', "no_metrics")
"""Wants the state of one device, with metrics in it."""
judge_states = _wanting(b'"missing":[]', "missing_devices")
"""Wants the states of all devices that were asked for."""


def _first_code(receipt: dict[str, Any]) -> str:
    errors = receipt.get("errors")
    first = errors[0] if isinstance(errors, list) and errors else receipt
    code = first.get("code") if isinstance(first, dict) else None
    return f"_{code}" if code else ""


class Window:
    """A span of time to measure in: `seconds` from `open` on, or until it is closed early; then it stays closed."""

    def __init__(self, seconds: float, *, clock: Clock) -> None:
        self.seconds = seconds
        self.clock = clock
        self._end = 0.0
        self._is_closed = False

    def open(self) -> float:
        """Begin now; return the time."""
        now = self.clock()
        self._end = now + self.seconds
        return now

    @property
    def is_open(self) -> bool:
        """Whether there is time left."""
        return not self._is_closed and self.clock() < self._end

    def close(self) -> None:
        """End here, or before it has begun."""
        self._is_closed = True


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over all rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Self | None:
        """Return the spread of these values, None of none."""
        found = list(values)
        return cls(median(found), min(found), max(found)) if found else None


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyRound:
    """One round of the yardstick. CPU in seconds; None where the database's processes were not found."""

    setup: Setup
    rows: int
    elapsed: float
    client_cpu: float
    database_cpu: float | None

    @property
    def rate(self) -> float:
        """Readings committed a second."""
        return self.rows * self.setup.width / self.elapsed


@dataclass(frozen=True, slots=True, kw_only=True)
class Reads:
    """State reads that ran beside a load: reads/s, and the times from when each was due."""

    rate: float
    times: Percentiles
    faults: dict[str, int]

    @classmethod
    def of(cls, tally: Tally, *, elapsed: float) -> Self:
        """Read off a tally; the load took so many seconds."""
        return cls(rate=tally.answers / elapsed, times=tally.times(), faults=dict(tally.faults))


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadRound:
    """One round of a workload.

    `acked`: readings acknowledged after COMMIT, or states read; `answers`: requests or messages; `stored`: readings
    more in the database than before; `grown`: bytes more on disk; `cpu`: seconds of each part that was found.
    """

    workload: str
    elapsed: float
    acked: int
    answers: int
    stored: int
    grown: int
    times: Percentiles
    cpu: dict[Component, float]
    generator_cpu: float
    resident: int
    faults: dict[str, int]
    beside: Reads | None = None

    @property
    def kind(self) -> Workload:
        """The workload itself."""
        return WORKLOADS[self.workload]

    @property
    def rate(self) -> float:
        """Readings acknowledged, or states read, a second."""
        return self.acked / self.elapsed

    @property
    def missing(self) -> int:
        """Readings that were acknowledged as new and are not in the database."""
        return max(0, self.acked - self.stored) if self.kind.stores else 0

    def per_million(self, seconds: float) -> float | None:
        """Return CPU seconds for a million readings (or states); None if there were none."""
        return seconds / self.acked * 1e6 if self.acked else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """All that a run came to."""

    when: str
    machine: str
    ground: str
    command: str
    seconds: float
    rounds: int
    copies: list[CopyRound] = field(default_factory=list)
    loads: list[LoadRound] = field(default_factory=list)
    commits: list[Percentiles] = field(default_factory=list)
    """Of each round, the times of a COMMIT that writes next to nothing: mostly the disk's fsync."""
    remarks: list[str] = field(default_factory=list)

    def of(self, name: str) -> list[LoadRound]:
        """Return the rounds of a workload."""
        return [load for load in self.loads if load.workload == name]

    def by_workload(self) -> list[list[LoadRound]]:
        """Return the rounds of each workload that was measured at least once."""
        return [rounds for name in WORKLOADS if (rounds := self.of(name))]

    def by_setup(self) -> list[list[CopyRound]]:
        """Return the rounds of each setup of the yardstick, in the order in which they were measured."""
        setups = dict.fromkeys(copy.setup for copy in self.copies)
        return [[copy for copy in self.copies if copy.setup == setup] for setup in setups]

    def share_of_copy(self, workload: Workload) -> float | None:
        """Return a workload's median rate as a share of the best COPY of rows as wide; None if it stores nothing."""
        copies = [rounds for rounds in self.by_setup() if rounds[0].setup.width == workload.form.width]
        best = max((_median_rate(rounds) for rounds in copies if workload.stores), default=None)
        return _median_rate(self.of(workload.name)) / best if best else None

    def share(self, name: str, other: str) -> float | None:
        """Return the median rate of one workload as a share of another's."""
        ours, theirs = self.of(name), self.of(other)
        base = _median_rate(theirs) if theirs else 0.0
        return _median_rate(ours) / base if ours and base else None

    @property
    def missing(self) -> int:
        """Readings acknowledged and not stored, over all."""
        return sum(load.missing for load in self.loads)

    @property
    def failed(self) -> list[str]:
        """Workloads of which a round came to nothing."""
        return list(dict.fromkeys(load.workload for load in self.loads if not load.acked))


def _median_rate(rounds: Sequence[CopyRound] | Sequence[LoadRound]) -> float:
    return median(one.rate for one in rounds)
