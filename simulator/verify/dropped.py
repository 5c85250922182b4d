"""Which readings a target left out that said only how many: what is missing of such posts in, findings out. Pure.

A post may lie in several portions of devices, so what is missing is collected first and held against the ledger last.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from simulator.send.ledger import Ledger
from simulator.verify.findings import MAX_PROBLEMS, Findings, Problem


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
