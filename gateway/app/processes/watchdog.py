"""The watchdog: a process beside the workers that has dead ones started again. Never starts one itself.

While the main process lives: a worker that is gone is started again, at once the first time, then ever later while it
keeps dying. When the main process was killed: the workers are told to stop, and the helper process that
`multiprocessing` would leave behind for ever is ended after them.
"""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from gateway.app.processes import run_folder
from gateway.core.settings import LogSettings
from gateway.telemetry import MULTIPROC_ENV

POLL_SECS = 0.3
FIRST_GAP_SECS, LONGEST_GAP_SECS, CALM_SECS = 2.0, 5.0, 60.0
ORPHAN_SECS = 90.0
"""Longest wait for the workers of a killed main process to stop."""
GONE = ("FAILED", "COMPLETED")
"""Sanic's words for a process that has left: by a signal or an error, or on its own."""


class Gap(NamedTuple):
    """When a worker may be started again, and how long the wait after that is."""

    until: float
    secs: float


class Patience:
    """At once the first time, then at gaps that double while the same worker keeps dying. Times are seconds."""

    def __init__(self) -> None:
        self._gaps: dict[str, Gap] = {}

    def is_over(self, worker: str, now: float) -> bool:
        """Whether this worker, found dead, is to be started now; if so, the next gap begins."""
        gap = self._gaps.get(worker)
        if gap is None or now > gap.until + CALM_SECS:
            gap = Gap(now, FIRST_GAP_SECS)
        if now < gap.until:
            return False
        self._gaps[worker] = Gap(now + gap.secs, min(gap.secs * 2, LONGEST_GAP_SECS))
        return True


def watch(
    state: MutableMapping[str, Any],
    publisher: "Connection[Any, Any]",
    main: int,
    helpers: Sequence[int],
    log: LogSettings,
) -> None:
    """Watch until told to stop. `state` and `publisher` are Sanic's; `main` and `helpers` are process ids."""
    from gateway.telemetry import logs  # noqa: PLC0415

    logs.configure(log)
    os.setpgid(0, 0)
    told: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda got, _frame: told.append(got))
    hear_interrupts()
    patience = Patience()
    workers: dict[str, int] = {}
    while not told:
        time.sleep(POLL_SECS)
        if os.getppid() != main:
            _end_orphans(list(workers.values()), helpers)
            run_folder.forget_killed(Path(os.environ[MULTIPROC_ENV]))
            return
        try:
            snapshot = {name: dict(facts) for name, facts in state.items()}
        except (EOFError, OSError):  # the main process is on its way out
            continue
        workers |= {name: facts["pid"] for name, facts in _servers(snapshot) if "pid" in facts}
        for name in _dead(snapshot):
            if patience.is_over(name, time.monotonic()):
                _start_again(name, workers[name], publisher)


def hear_interrupts() -> None:
    """Hear of SIGINT from now on, also of one that came before: a process starts deaf to it, until it can obey."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _servers(snapshot: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    return ((name, facts) for name, facts in snapshot.items() if facts.get("server"))


def _dead(snapshot: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return [name for name, facts in _servers(snapshot) if facts.get("state") in GONE]


def _start_again(worker: str, pid: int, publisher: "Connection[Any, Any]") -> None:
    from prometheus_client.multiprocess import mark_process_dead  # noqa: PLC0415

    from gateway.telemetry import events  # noqa: PLC0415

    events.worker_restarted(worker, pid)
    for gone in (pid, os.getpid()):  # gauges of this process say nothing, and would count as the least of all
        mark_process_dead(gone)  # type: ignore[no-untyped-call]
    publisher.send(f"{worker}:")


def _end_orphans(workers: Sequence[int], helpers: Sequence[int]) -> None:
    """Wait for the workers, whom the kernel told to stop, or tell them where it does not; then end the helpers."""
    if sys.platform != "linux":
        for pid in workers:
            _send(pid, signal.SIGTERM)
    deadline = time.monotonic() + ORPHAN_SECS
    while time.monotonic() < deadline and any(_send(pid, 0) for pid in workers):
        time.sleep(POLL_SECS)
    for pid in helpers:
        _send(pid, signal.SIGKILL)


def _send(pid: int, number: int) -> bool:
    """Whether the process is there; signal 0 only asks."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
        return True
    return False
