"""In: servers, faults, a budget. Out: what became of every reading, and how long each recovery took. Never repairs.

All rounds of a block happen within one run of the simulator, whose verdict is about all of them.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from random import Random
from typing import Any

import httpx

from tests.chaos import gone
from tests.chaos.books import Books
from tests.chaos.faults import Fault
from tests.chaos.revoked import as_role
from tests.chaos.scene import ASK_SECS, Flow, Ground, Scene, scene
from tests.e2e.serving import ADMIN_KEY, Simulator, simulate, wait_for

RECOVERY_SECS = 10.0
"""What the gateway promises."""
PATIENCE_SECS = 60.0
"""Longest wait for a recovery before the block is given up."""
DRAIN_SECS = 60.0
SETTLE_SECS = 30
OLD_SECS = 7200
"""Age of readings that are in range however the clock is stepped."""
BAD = ("lost", "duplicated", "wrong", "unexpected")


@dataclass
class Result:
    """One block: how long a recovery may take, how long each took, what the simulator counts, and what went wrong."""

    name: str
    recovery_secs: float
    recoveries: list[float] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    troubles: list[str] = field(default_factory=list)
    unbalanced: int = 0
    """Checks of the ledger that failed; there is one after each round and one at the end."""

    @property
    def worst(self) -> float:
        """The longest recovery, in seconds."""
        return max(self.recoveries, default=0.0)

    @property
    def is_good(self) -> bool:
        """Whether there is nothing to complain about."""
        return not self.troubles


@dataclass(frozen=True)
class Load:
    """What the simulator offers: readings a second over both doors, from so many devices, so many a body."""

    rate: int = 4_000
    devices: int = 1_000
    batch: int = 20

    def options(self, seconds: float, *, seed: int, age_secs: int) -> tuple[str, ...]:
        """The command line for a run that goes on until it is told to stop, `seconds` at the latest.

        Its readings are `age_secs` old.
        """
        numbers = {
            "rate": self.rate,
            "devices": self.devices,
            "batch": self.batch,
            "seed": seed,
            "seconds": seconds,
            "give-up": 120,
            "settle": SETTLE_SECS,
            "start-ms": int(1000 * (time.time() - age_secs)),
        }
        words = [word for name, number in numbers.items() for word in (f"--{name}", str(number))]
        return (*words, "--transport", "mixed", "--mixed-kinds")


def run_block(
    ground: Ground,
    faults: Sequence[Fault],
    *,
    rounds: int,
    seconds: float,
    rng: Random,
    load: Load,
    recovery_secs: float = RECOVERY_SECS,
) -> Result:
    """Strike with each fault in turn, `rounds` times or until `seconds` are over, and judge all of it together.

    The faults of a block must want the same gateway. Each strikes once at least, however short the time. A recovery
    that takes longer than `recovery_secs` is a trouble.
    """
    result = Result("+".join(fault.name for fault in faults), recovery_secs)
    age_secs = OLD_SECS if faults[0].steps_clock else 0
    options = load.options(seconds + PATIENCE_SECS, seed=rng.randrange(1_000_000), age_secs=age_secs)
    try:
        with _scene_of(ground, faults) as stage:
            books = Books(stage.ledger)
            simulator = simulate(stage.gateway, ground.folder, *options)
            try:
                deadline = time.monotonic() + seconds
                _strike_all(stage, faults, result, books=books, rounds=rounds, deadline=deadline, rng=rng)
                result.troubles += books.close(_judge(simulator, stage, result))
            finally:
                simulator.close()
                result.unbalanced = books.unbalanced
    except AssertionError as error:  # something was waited for in vain
        result.troubles.append(str(error))
    return result


def _scene_of(ground: Ground, faults: Sequence[Fault]) -> AbstractContextManager[Scene]:
    first = faults[0]
    wanted = ("workers", "spool_bytes", "steps_clock", "plain_role", "hosts")
    assert all(getattr(fault, name) == getattr(first, name) for fault in faults for name in wanted)
    return scene(
        ground,
        workers=first.workers,
        spool_bytes=first.spool_bytes,
        steps_clock=first.steps_clock,
        account=as_role if first.plain_role else None,
        hosts=first.hosts,
    )


def _strike_all(
    stage: Scene,
    faults: Sequence[Fault],
    result: Result,
    *,
    books: Books,
    rounds: int,
    deadline: float,
    rng: Random,
) -> None:
    _until_flowing(stage, Flow())
    for number in range(rounds * len(faults)):
        if number >= len(faults) and time.monotonic() > deadline:
            break
        time.sleep(rng.uniform(0.1, 1.0))  # the moment must be a random one
        fault = faults[number % len(faults)]
        struck = fault.strike(stage, rng)
        _until_flowing(stage, _flow(stage))
        took = time.monotonic() - struck
        result.recoveries.append(took)
        if took > result.recovery_secs:
            result.troubles.append(f"round {number + 1}, {fault.name}: took {took:.1f} s to recover")
        result.troubles += [f"round {number + 1}, {fault.name}: {text}" for text in books.check(fault.ends)]
    wait_for(stage.is_drained, lambda: "the spool is drained", secs=DRAIN_SECS)


def _until_flowing(stage: Scene, since: Flow) -> None:
    wait_for(lambda: stage.flows(since), lambda: _situation(stage, since), secs=PATIENCE_SECS)


def _flow(stage: Scene) -> Flow:
    """Return the counters now; zeros, which any progress exceeds, if the gateway is not there to ask."""
    deadline = time.monotonic() + 2 * ASK_SECS
    while time.monotonic() < deadline:
        try:
            return stage.flow()
        except httpx.HTTPError:
            continue
    return Flow()


def _situation(stage: Scene, since: Flow) -> str:
    try:
        ready = stage.asking.get("/readyz").text
    except httpx.HTTPError as error:
        ready = repr(error)
    log = stage.gateway.log.read_text(errors="replace")[-3_000:]
    return f"it flows again; since {since}, now {_flow(stage)}, /readyz {ready}; the end of its log:\n{log}"


def _judge(simulator: Simulator, stage: Scene, result: Result) -> dict[str, int]:
    """Let the simulator stop sending and verify, and take over its verdict; return what was acknowledged, by door."""
    simulator.stop()
    code, report, output = simulator.finish()
    if not report or not report["verdict"]:
        result.troubles.append(f"the simulator ended with {code} and no verdict:\n{output[-2_000:]}")
        return {}
    result.counts = _counts(report)
    problems = report["verdict"]["total"]["problems"]
    excused = _excuse(result, stage, problems) if stage.taken else ()
    result.troubles += [text for text in report["failures"] if text not in excused]
    verdict = report["verdict"]
    unseen = (verdict["unfinished"], verdict["states_unchecked"], verdict["stream_unchecked"])
    result.troubles += [text for text in unseen if text]
    for problem in [each for each in problems if not (excused and each["trouble"] in gone.EXCUSED)][:5]:
        result.troubles.append(" ".join(str(problem[key]) for key in ("trouble", "device", "metric", "detail")))
    return {lane["transport"]: int(lane["acknowledged"]) for lane in report["lanes"]}


def _excuse(result: Result, stage: Scene, problems: Sequence[Mapping[str, Any]]) -> Sequence[str]:
    """Book what the database has lost apart from what the gateway has; return how the simulator tells it.

    Every series must be shown as the database has it, and every complaint be about readings that were taken from it.
    """
    left = asyncio.run(gone.left(stage.ground.postgres.url(), stage.taken, since=stage.began))
    devices = {series.device for series in left.newest} | {each.series.device for each in stage.taken}
    found = list(gone.differences(left.newest, gone.shown(gone.asking(stage.asking, ADMIN_KEY), devices)))
    found += gone.unexcused(left, result.counts, problems)
    result.counts["gone"] = 0
    if found:
        result.troubles += [f"{len(found):,} are neither as sent nor as the database has them, among them:", *found[:5]]
        return ()
    lost, wrong, unseen = (result.counts[name] for name in ("lost", "state_wrong", "stream_gaps"))
    result.counts |= {"lost": 0, "state_wrong": 0, "stream_gaps": 0, "gone": lost}
    return (f"{lost:,} lost", f"{wrong:,} state wrong", f"{unseen:,} stream gaps")


def _counts(report: dict[str, Any]) -> dict[str, int]:
    total = report["verdict"]["total"]
    counts = {name: int(total[name]) for name in (*BAD, "state_wrong", "state_checked", "stream_gaps")}
    counts["wrong"] += counts.pop("unexpected")
    return counts | {"acknowledged": sum(int(lane["acknowledged"]) for lane in report["lanes"])}
