"""The measurements: a load on a freshly started, empty target, and a kill -9 in the middle of one.

CPU is what /proc says of the target's processes and of those that work for it (database, Redis, broker); what the load
generator and others take is told apart.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from random import Random

import msgspec

from simulator.measure.bench.processes import cpu_seconds, family, listeners, snapshot
from tests.peers.accounts import settle
from tests.peers.target import PROGRAM, Target, still
from tests.peers.works import Door, Job, Sent, Work, base_ms, ends_ms

WARM_SECS, WARM_MQTT_SECS = 1.5, 0.3
"""A broker takes messages faster than anybody stores them, so W4 is warmed up with few."""
PATIENCE_SECS = 60.0
"""Longest wait for what was acknowledged to be stored."""
LATE_SECS = 1.0
"""What a target that stores later is given to do so, in its own CPU time."""
FINISH_SECS = 60.0
"""Longest wait for a load generator, beyond its load."""
_TICKS = os.sysconf("SC_CLK_TCK")


class Measured(msgspec.Struct):
    """One load on one target; CPU in seconds, by part."""

    target: str
    work: str
    acknowledged: int
    stored: int
    seconds: float
    """From the first request to the last acknowledgement, over MQTT to when no more comes into the store."""
    p50_ms: float
    p99_ms: float
    cpu: dict[str, float]
    load_cores: float
    other_cores: float
    errors: dict[str, int]

    @property
    def rate(self) -> float:
        """Readings stored a second."""
        return self.stored / self.seconds

    def cpu_for_a_million(self, *parts: str) -> float:
        """Seconds for a million stored readings, of these parts or of all."""
        return sum(self.cpu[part] for part in parts or self.cpu if part in self.cpu) * 1e6 / max(1, self.stored)


class Killed(msgspec.Struct):
    """What a kill -9 under load left of what was acknowledged; readings."""

    target: str
    work: str
    acknowledged: int
    lost: int
    unasked: int


def measured(target: Target, work: Work, *, seconds: float, tag: str) -> Measured:
    """Load a target. Raises LocalStackError, SubprocessError, OSError."""
    door = require(target.door(work.name))
    with running(target):
        target.clear()
        warm = load(job(work, door, tag=f"w{tag}", seconds=WARM_MQTT_SECS if door.topic else WARM_SECS))
        before, _ = still(target, warm.acknowledged, patience=PATIENCE_SECS)
        target.settle()
        roots = {part: listeners(port) for part, port in target.parts(work.name).items()}
        began, cpu, busy = time.monotonic(), used(roots), machine_busy()
        sent = load(job(work, door, tag=tag, seconds=seconds))
        total, late = still(target, before + sent.acknowledged, patience=PATIENCE_SECS) if door.topic else (0, 0.0)
        time.sleep(LATE_SECS if target.is_late else 0.0)
        spent, others, elapsed = used(roots), machine_busy() - busy, time.monotonic() - began
        if not door.topic:
            total, _ = still(target, before + sent.acknowledged, patience=PATIENCE_SECS)
    cost = {part: spent[part] - cpu[part] for part in roots}
    return Measured(
        target=target.name,
        work=work.name,
        acknowledged=sent.acknowledged,
        stored=total - before,
        seconds=sent.seconds + late,
        p50_ms=sent.p50_ms,
        p99_ms=sent.p99_ms,
        cpu=cost,
        load_cores=sent.cpu / sent.seconds,
        other_cores=max(0.0, others - sum(cost.values()) - sent.cpu) / elapsed,
        errors=sent.errors,
    )


def killed(target: Target, work: Work, *, seconds: float, tag: str, random: Random) -> Killed:
    """Kill a target -9 under load, start it again, and see what it holds. Raises as `measured`."""
    door, base = require(target.door(work.name)), base_ms()
    with running(target):
        target.clear()
        with generating(job(work, door, tag=tag, seconds=seconds, stop_on_loss=True)) as process:
            time.sleep(seconds * random.uniform(0.7, 0.9))
            target.kill()
            sent = result(process, seconds)
        target.start()
        total, _ = still(target, sent.acknowledged, patience=PATIENCE_SECS)
        stored = target.stored(ends_ms(base, sent.stamps), work.metrics)
    due = {device: stamps * work.metrics for device, stamps in sent.stamps.items()}
    return Killed(target.name, work.name, *settle(due, stored, total=total))


@contextmanager
def running(target: Target) -> Iterator[None]:
    """Have it run until the end of the block."""
    target.start()
    try:
        yield
    finally:
        target.stop()


def require(door: Door | None) -> Door:
    """Return it; nobody asks for a work that a target does not take."""
    assert door is not None
    return door


def job(work: Work, door: Door, *, tag: str, seconds: float, stop_on_loss: bool = False) -> Job:
    """Return what the load generator is to do."""
    return Job(work.name, door, tag, base_ms(), seconds, work.connections, stop_on_loss)


def load(told: Job) -> Sent:
    """Have a job done. Raises SubprocessError."""
    with generating(told) as process:
        return result(process, told.seconds)


@contextmanager
def generating(told: Job) -> Iterator["subprocess.Popen[bytes]"]:
    """Have a load generator do a job; it does not outlive the block."""
    command = [sys.executable, "-m", "tests.peers.load"]
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root) as process:
        try:
            assert process.stdin is not None
            process.stdin.write(msgspec.json.encode(told))
            process.stdin.close()
            process.stdin = None
            yield process
        finally:
            process.kill()


def result(process: "subprocess.Popen[bytes]", seconds: float) -> Sent:
    """Return what it tells in the end. Raises SubprocessError."""
    told, _ = process.communicate(timeout=seconds + FINISH_SECS)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args)
    return msgspec.json.decode(told, type=Sent)


def used(roots: Mapping[str, frozenset[int]]) -> dict[str, float]:
    """Return the CPU seconds of each part so far: these processes, and what is below them."""
    now = snapshot()
    return {part: cpu_seconds(now, family(now, pids)) for part, pids in roots.items()}


def machine_busy(stat: Path = Path("/proc/stat")) -> float:
    """Return the CPU seconds that all processes of the machine have used so far (proc(5): not idle, not waiting)."""
    user, nice, system, _idle, _waiting, interrupts, soft, *_ = map(int, stat.read_text().split()[1:9])
    return (user + nice + system + interrupts + soft) / _TICKS


def others(found: Measured) -> tuple[str, ...]:
    """Return the parts beside the program itself."""
    return tuple(part for part in found.cpu if part != PROGRAM)
