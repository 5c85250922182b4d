"""The findings of a verification: counts that add up, and the first problems by device, metric and time. Pure.

An account is what they are found in: the ledger of a part. Of a target that says only how many readings of a post it
left out, what is missing is collected first and held against the ledger last, for a post may lie in several portions.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, Self

from simulator.core.times import time_of
from simulator.plan.faults import Draw
from simulator.plan.fleet import Fleet
from simulator.plan.requirements import FOUND
from simulator.send.ledger import Ledger

MAX_PROBLEMS = 100
"""Examples that are kept, and problems of each trouble."""

Trouble = Literal["lost", "duplicated", "wrong", "unexpected", "state wrong", "stream gap", "stream wrong"]


@dataclass(frozen=True, slots=True)
class Problem:
    """One reading that is not as it should be."""

    trouble: Trouble
    device: str
    metric: str
    time_us: int
    detail: str

    @property
    def time(self) -> str:
        """The reading's time in RFC 3339."""
        return time_of(self.time_us)


@dataclass(slots=True)
class Findings:
    """Counts of readings; of series for the two of the state."""

    stored: int = 0
    """Readings that we sent and that are there."""
    lost: int = 0
    """Acknowledged and not there."""
    duplicated: int = 0
    """There more than once; counts the surplus."""
    wrong: int = 0
    """There with another value."""
    unexpected: int = 0
    """There, though never sent, or refused."""
    state_checked: int = 0
    state_wrong: int = 0
    stream_checked: int = 0
    """Readings of watched devices that the live stream had to show."""
    stream_gaps: int = 0
    """Of those, never shown."""
    stream_wrong: int = 0
    """Shown there, though never said, or refused; or shown again."""
    problems: list[Problem] = field(default_factory=list)
    """The first of each trouble: many of one kind hide none of another."""

    @property
    def is_clean(self) -> bool:
        """Whether nothing is wrong."""
        return not any(getattr(self, name) for name in FOUND.values())

    def note(self, problem: Problem) -> None:
        """Keep a problem, if it is one of the first of its trouble."""
        if sum([each.trouble == problem.trouble for each in self.problems]) < MAX_PROBLEMS:
            self.problems.append(problem)

    def add(self, other: Self) -> None:
        """Take in what was found elsewhere."""
        for name in ("stored", "state_checked", "stream_checked", *FOUND.values()):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for problem in other.problems:
            self.note(problem)


@dataclass(slots=True)
class DroppedFindings:
    """Readings that were said to be dropped and are not there, and the first of them by device, metric and time."""

    readings: int = 0
    examples: list[str] = field(default_factory=list)


class DroppedPosts:
    """The posts of one ledger of which something was dropped."""

    def __init__(self, ledger: Ledger) -> None:
        self._said = ledger.dropped
        self._missing: Counter[int] = Counter()
        self._first: dict[int, Problem] = {}
        self._examples: list[str] = []

    def take(self, missing: Iterable[tuple[int, Problem]]) -> None:
        """Take in what is not there, each with its post."""
        for post, problem in missing:
            self._missing[post] += 1
            self._first.setdefault(post, problem)
            if len(self._examples) < MAX_PROBLEMS:
                self._examples.append(f"{problem.device} {problem.metric} {problem.time}")

    def close(self, into: DroppedFindings) -> Findings:
        """Add what was dropped; return what is missing beyond that, which is lost."""
        findings = Findings()
        for post, missing in self._missing.items():
            said = self._said[post]
            into.readings += min(missing, said)
            if missing > said:
                findings.lost += missing - said
                first = self._first[post]
                detail = f"or another of its post: {missing} are not there, {said} were said to be dropped"
                findings.note(Problem("lost", first.device, first.metric, first.time_us, detail))
        into.examples += self._examples[: MAX_PROBLEMS - len(into.examples)]
        return findings


@dataclass(frozen=True, slots=True)
class Account:
    """One part of a run, after it was sent; without `draw` there are no faults in it."""

    fleet: Fleet
    ledger: Ledger
    draw: Draw | None = None
