"""The results of a bench: plain data, with medians and ranges over the rounds. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Self

from simulator.measure.bench.processes import Component
from simulator.measure.bench.tally import Tally
from simulator.measure.bench.workloads import WORKLOADS, Workload
from simulator.measure.bench.yardstick import Setup
from simulator.send.latency import Percentiles


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
