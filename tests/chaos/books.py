"""In: what /v1/ledger says after each round. Out: what does not balance. Never asks the database: the simulator does.

A SIGKILL takes counts with it, so each case has a check of its own:

    the gateway lives on    every reading taken in is accounted for: `interrupted` is what it was before the round
    a worker was killed     `interrupted` may have grown by what that worker had in hand, and then stays as it is
    the gateway was killed  the books begin at zero, and balance by themselves
    at the end of a block   if no process was killed: all that was spooled was drained, and at each door at least as
                            much was accepted as the simulator has acknowledgements for
"""

import json
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import httpx

Ends = Literal["nothing", "worker", "gateway"]
"""What a fault kills, or ends in order."""

Read = Callable[[], Mapping[str, Any]]
"""Returns the books of all workers; raises httpx.HTTPError."""

SETTLE_SECS = 5.0
"""How long the books may take: while readings flow, the numbers of two workers are some milliseconds apart."""
ENOUGH = 5
"""The same number as often, and more often than all others together, is no coincidence: bodies are all of one size, so
that one which is under way makes the same difference each time, in one look of ten."""
PAUSE_SECS = 0.05
NOTICED = 0.4
"""Part of the time to settle within which the gateway surely notices that a worker is dead."""


class Books:
    """The books of one gateway through its lives."""

    def __init__(self, read: Read, *, settle_secs: float = SETTLE_SECS) -> None:
        self._read = read
        self._settle_secs = settle_secs
        self._unanswered: dict[str, int] = {}
        self._lost_counts = False
        self.unbalanced = 0
        """Checks that failed."""

    def check(self, ended: Ends) -> list[str]:
        """Return what is wrong after a round in which such a process ended; an empty list if all balances."""
        if ended == "gateway":
            self._unanswered = {}
        self._lost_counts = self._lost_counts or ended != "nothing"
        troubles = self._grown() if ended == "worker" else self._moved()
        self.unbalanced += bool(troubles)
        return troubles

    def close(self, acknowledged: Mapping[str, int]) -> list[str]:
        """Return what is wrong when nothing flows any more; `acknowledged` is the simulator's account, by door."""
        troubles = self._moved()
        if not self._lost_counts:
            troubles += _against(self._read(), acknowledged)
        self.unbalanced += bool(troubles)
        return troubles

    def _moved(self) -> list[str]:
        """Say which sources do not come to what they were."""
        open_sources: dict[str, Any] | None = None
        deadline = time.monotonic() + self._settle_secs
        while time.monotonic() < deadline:
            accounts = self._accounts()
            names = accounts if open_sources is None else open_sources
            open_sources = {
                name: accounts[name] for name in names if accounts[name]["interrupted"] != self._unanswered.get(name, 0)
            }
            if accounts and not open_sources:
                return []
            time.sleep(PAUSE_SECS)
        return [f"the books of {name} do not balance: {account}" for name, account in (open_sources or {}).items()] or [
            "the books could not be read"
        ]

    def _grown(self) -> list[str]:
        """Take over what a killed worker left interrupted, once it stays as it is; it cannot become less."""
        seen: dict[str, Counter[int]] = {}
        deadline = time.monotonic() + self._settle_secs
        time.sleep(self._settle_secs * NOTICED)  # until then what the dead worker had queued still counts as queued
        while time.monotonic() < deadline:
            for name, account in self._accounts().items():
                seen.setdefault(name, Counter())[account["interrupted"]] += 1
            steady = {name: counts.most_common(1)[0][0] for name, counts in seen.items() if _is_clear(counts)}
            if seen and steady.keys() == seen.keys():
                return self._take_over(steady)
            time.sleep(PAUSE_SECS)
        return [f"the books do not settle after a worker was killed: interrupted {seen}"]

    def _take_over(self, interrupted: dict[str, int]) -> list[str]:
        before, self._unanswered = self._unanswered, interrupted
        return [
            f"the books of {name} are off: {before.get(name, 0)} readings were interrupted, now {value}"
            for name, value in interrupted.items()
            if value < before.get(name, 0)
        ]

    def _accounts(self) -> dict[str, Any]:
        try:
            return dict(self._read()["sources"])
        except httpx.HTTPError:
            return {}


def _is_clear(counts: Counter[int]) -> bool:
    """Whether one number stands out."""
    _, times = counts.most_common(1)[0]
    return times >= ENOUGH and 2 * times > counts.total()


def exit_line(log: Path) -> dict[str, int]:
    """Return the books as the last worker that ended said them: those of the whole run of a gateway."""
    lines = (json.loads(line) for line in log.read_text().splitlines() if line.startswith('{"name":"ledger"'))
    last: dict[str, int] = deque(lines, maxlen=1)[0]["total"]
    return last


def _against(books: Mapping[str, Any], acknowledged: Mapping[str, int]) -> list[str]:
    troubles = []
    spooled, drained = books["total"]["spooled"], sum(books["from_spool"].values())
    if spooled != drained:
        troubles.append(f"{spooled} readings were spooled, and {drained} drained")
    for door, readings in acknowledged.items():
        account = books["sources"][door]
        accepted = account["stored"] + account["duplicates"] + account["spooled"]
        if accepted < readings:
            troubles.append(f"over {door} {readings} readings were acknowledged, and only {accepted} are in the books")
    return troubles
