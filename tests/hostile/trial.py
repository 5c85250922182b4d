"""A trial: one attack beside honest clients. In: a stage, an attack, seconds. Out: an Outcome, judged.

What the attacker takes of the machine is no fault of the gateway: a process that takes as much CPU and attacks nobody
says what is normal. Where an answer is late all the same that is measured once more, at once.
"""

import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import httpx

from tests.chaos.books import Books
from tests.hostile import processes
from tests.hostile.attack import Attack
from tests.hostile.attacker import CALM
from tests.hostile.stage import Stage

PATIENCE_SECS = 12.0
"""Longest wait for the recovery."""
CALM_P50_SECS = 0.15
"""Half of the honest answers are faster than this when it is over."""
WINDOW_SECS = 0.25
CALM_WINDOWS = 2
"""One may be chance."""
LOOK_SECS = 0.1
LOSS_SECS = 5.0
"""How long what was acknowledged from the spool may take to be seen in the database."""


@dataclass(frozen=True)
class Judge:
    """What must hold, by the clock on the wall or by the CPU that the gateway itself took meanwhile.

    The latter says the same on a machine that does much else; but not how long a database was waited for.
    """

    clock: Literal["wall", "cpu"] = "wall"
    factor: float = 3.0
    """How many times slower than normal the slowest hundredth of honest answers may be."""
    floor_secs: float = 0.005
    """What is faster than this counts as this: below it a ratio says nothing."""
    health_secs: float = 1.0
    """Of health checks, of newcomers, and of a stream's silence."""
    recovery_secs: float = 2.0
    failed_share: float = 0.01
    """Of honest requests."""


JUDGES = {"wall": Judge(), "cpu": Judge("cpu", floor_secs=0.2, recovery_secs=4.0, failed_share=0.05)}
"""For a machine that does nothing else, and for one that does: 0.6 s of CPU for the slowest hundredth of answers (what
the gateway does while a slow database is waited for counts, too)."""


@dataclass
class Outcome:
    """What one attack did."""

    attack: Attack
    workers: int
    troubles: list[str] = field(default_factory=list)
    slower: float = 0.0
    """How many times slower the slowest hundredth of that was."""
    normal: float = 0.0
    """p99 of the kind of honest answers that suffered most, while as much CPU is taken by nobody's enemy (s)."""
    during: float = 0.0
    health: float = 0.0
    rss: int = 0
    """Bytes by which the memory grew."""
    recovery: float = 0.0
    cpu: float = 0.0
    """Cores that the gateway took."""
    attacker_cpu: float = 0.0
    failed: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)
    has_backlog: bool = False
    """Whether messages of honest neighbours still wait behind those of the attacker."""

    @property
    def counted(self) -> tuple[str, ...]:
        """The kinds of honest clients that must be as fast as ever.

        All that comes over MQTT is one queue of the broker's, in which nobody can be overtaken.
        """
        return ("post", "read") if self.attack.over_mqtt else ("post", "read", "mqtt")

    def expect(self, *, that: bool, else_say: str) -> None:
        """Note a trouble unless it is as it must be."""
        if not that:
            self.troubles.append(else_say)


class Bench:
    """What is normal, by the CPU that somebody else takes, in quarters of a core."""

    def __init__(self, *, secs: float) -> None:
        self._secs = secs
        self._normal: dict[int, Mapping[str, Any]] = {}

    def normal(self, stage: Stage, share: float, *, anew: bool = False) -> Mapping[str, Any]:
        """Return what honest clients find while so much of a core is taken; measured if it was not yet."""
        quarters = min(4, round(4 * share))
        if anew or quarters not in self._normal:
            with processes.attacker(stage.place, CALM, self._secs, "--share", str(quarters / 4)) as process:
                begin(stage, process)
                processes.finish(process)
            self._normal[quarters] = stage.mark()["kinds"]
        return self._normal[quarters]

    def known(self, share: float) -> Mapping[str, Any]:
        """Return the same, or what was measured with the next best share: now everybody is slow."""
        return self._normal[min(self._normal, key=lambda quarters: abs(quarters - 4 * share))] if self._normal else {}


def attempt(stage: Stage, bench: Bench, books: Books, attack: Attack, secs: float, *, judge: Judge) -> Outcome:
    """Attack, wait until it is over, and judge."""
    outcome = Outcome(attack, stage.place.workers)
    before, cpu, pids = stage.rss(), stage.cpu(), stage.pids()
    with processes.attacker(stage.place, attack.name, secs) as process:
        begin(stage, process)
        peak = watch(stage, process, secs)
        report = processes.finish(process)
    found = stage.mark()
    outcome.cpu = max(0.0, stage.cpu() - cpu) / max(secs, report.get("secs", 0.0))
    outcome.rss, outcome.counts, outcome.attacker_cpu = peak - before, report["counts"], report["cpu"]
    outcome.troubles += report["troubles"]
    recover(stage, outcome, judge)
    weigh(stage, outcome, found, bench, judge)
    look(outcome, found, judge)
    outcome.expect(that=stage.pids() == pids, else_say="a process of the gateway ended")
    outcome.troubles += keep(stage, books)
    return outcome


def weigh(stage: Stage, outcome: Outcome, found: Mapping[str, Any], bench: Bench, judge: Judge) -> None:
    """Compare the slowest hundredth of each kind with what is normal, and take the worst."""
    for anew in (False, True):
        is_over, share = outcome.recovery < PATIENCE_SECS, outcome.attacker_cpu
        normal = bench.normal(stage, share, anew=anew) if is_over else bench.known(share)
        for kind in outcome.counted:
            if kind not in found["kinds"]:
                outcome.expect(that=False, else_say=f"nobody was answered: {kind}")
                continue
            usual, slow = (each[kind][judge.clock]["p99"] if kind in each else 0.0 for each in (normal, found["kinds"]))
            slower = max(slow, judge.floor_secs) / max(usual, judge.floor_secs)
            if not outcome.slower or slower > outcome.slower:
                outcome.slower, outcome.normal, outcome.during = slower, usual, slow
        if outcome.slower <= judge.factor:
            return
    outcome.troubles.append(f"honest p99 {outcome.slower:.1f} × its normal ({1000 * outcome.during:.0f} ms)")


def look(outcome: Outcome, found: Mapping[str, Any], judge: Judge) -> None:
    """Compare the rest with what was promised."""
    kinds = found["kinds"]
    for kind, what in (
        ("newcomer", "a newcomer's post"),
        ("stream", "a stream's silence"),
        ("health", "a health check"),
    ):
        took = kinds[kind][judge.clock]["max"] if kind in kinds else PATIENCE_SECS
        outcome.expect(that=took <= judge.health_secs, else_say=f"{what} took {took:.1f} s")
        outcome.health = took
    outcome.failed = sum(found["failures"].values())
    asked = sum(each["count"] for each in kinds.values())
    turned_away = sum(count for what, count in found["failures"].items() if what.startswith("newcomer"))
    outcome.expect(
        that=turned_away <= kinds.get("newcomer", {"count": 0})["count"] / 5,
        else_say=f"{turned_away} newcomers were turned away: {found['failures']}",
    )
    outcome.expect(
        that=outcome.failed <= judge.failed_share * asked,
        else_say=f"{outcome.failed} of {asked} failed: {found['failures']}",
    )
    bound = outcome.attack.rss_mib
    outcome.expect(
        that=outcome.rss <= bound * 2**20, else_say=f"memory grew by {outcome.rss / 2**20:.0f} MiB, more than {bound}"
    )


def recover(stage: Stage, outcome: Outcome, judge: Judge) -> None:
    """Wait until honest clients are served as before, and note after how many seconds that was."""
    began, used, calm = time.monotonic(), stage.cpu(), 0
    slow: list[str] = []
    outcome.recovery = PATIENCE_SECS
    while time.monotonic() - began < PATIENCE_SECS:
        time.sleep(WINDOW_SECS)
        found = stage.mark()
        kinds = found["kinds"]
        late = [kind for kind, each in kinds.items() if each[judge.clock]["p50"] > CALM_P50_SECS]
        outcome.has_backlog = "mqtt" in late
        slow = [kind for kind in late if kind in outcome.counted]
        slow += [*found["failures"], *(["nothing is answered"] if "post" not in kinds else [])]
        calm = 0 if slow else calm + 1
        if calm == CALM_WINDOWS:
            took = time.monotonic() - began if judge.clock == "wall" else stage.cpu() - used
            outcome.recovery = max(0.0, took - (CALM_WINDOWS * WINDOW_SECS if judge.clock == "wall" else 0.0))
            break
    outcome.expect(
        that=outcome.recovery <= judge.recovery_secs,
        else_say=f"{outcome.recovery:.1f} s until all was as before{': ' * bool(slow)}{', '.join(slow)}",
    )


def keep(stage: Stage, books: Books) -> list[str]:
    """Say what does not balance, and what was acknowledged and is not stored."""
    try:
        troubles = books.check("nothing")
    except httpx.HTTPError as exc:
        return [f"the ledger could not be read: {exc!r}"]
    acked = stage.mark()["acked"]
    deadline = time.monotonic() + LOSS_SECS
    while (stored := stage.stored()) < acked and time.monotonic() < deadline:
        time.sleep(LOOK_SECS)
    if stored < acked:
        troubles.append(f"{acked} messages were acknowledged, and only {stored} are stored")
    sent = stage.mark()["sent"]
    if stored > sent:
        troubles.append(f"{sent} messages were sent, and {stored} are stored")
    return troubles


def begin(stage: Stage, process: "subprocess.Popen[str]") -> None:
    """Let it attack; what honest clients found until now is forgotten."""
    time.sleep(WINDOW_SECS)  # preparing took CPU
    stage.mark()
    processes.let_go(process)


def watch(stage: Stage, process: "subprocess.Popen[str]", secs: float) -> int:
    """Return the most memory that the gateway has until the attacker says that it is done."""
    peak, deadline = 0, time.monotonic() + secs
    while process.poll() is None and time.monotonic() < deadline:
        peak = max(peak, stage.rss())
        time.sleep(LOOK_SECS)
    return max(peak, stage.rss())
