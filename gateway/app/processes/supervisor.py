"""The main process of a gateway: binds the port, starts the workers and watches them. Never handles a request itself.

A worker that dies is started again, at once the first time, then ever later while it keeps dying. SIGTERM and SIGINT
are passed on, and all are waited for; the second time they are killed where they stand. A worker that cannot start ends
the gateway, unless another one serves.
"""

import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Sequence
from functools import partial
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.app.processes import run_folder
from gateway.app.processes.listening import bind, raise_file_limit
from gateway.app.processes.worker_process import STOPS, run_worker
from gateway.core.settings import Settings

if TYPE_CHECKING:
    from gateway.web.lifetime import OpenRuntime

START_SECS = 120.0
"""How long workers may take to open their parts."""
FIRST_GAP_SECS, LONGEST_GAP_SECS, CALM_SECS = 2.0, 5.0, 60.0
POLL_SECS = 0.3
"""How often it is asked whether a dead worker may be started again."""
NAME = "Sanic-Server-{}-0"
"""A worker's name: Sanic's own for its workers, which logs and dashboards know."""
_SPAWN = multiprocessing.get_context("spawn")


def serve(settings: Settings, open_runtime: "OpenRuntime") -> None:
    """Serve until SIGTERM or SIGINT, then return; to be called in the main thread of the main process.

    `open_runtime` is a function of a module (it is called in the workers): (settings, the worker's name) → the parts.
    Raises StartError if the port is taken; leaves the process with status 1 if the workers cannot start.
    """
    listening = bind(settings.http)
    told: list[int] = []
    for stop in STOPS:
        signal.signal(stop, lambda number, _frame: told.append(number))
    raise_file_limit()
    metrics = run_folder.prepare(os.environ)
    # A process starts deaf to both signals, until it can obey. The tracker is deaf for good, and starting it later,
    # amid the start of a worker, would end that deafness (Python 3.11).
    resource_tracker.ensure_running()
    run = partial(run_worker, settings, open_runtime, listening)
    try:
        Supervisor([Worker(NAME.format(number), run) for number in range(settings.http.workers)], told).run()
    finally:
        run_folder.forget(metrics)


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


class Worker:
    """A worker process and its successors, as the main process sees them."""

    def __init__(self, name: str, run: "partial[None]") -> None:
        self.name = name
        self._run = run
        self.is_ready = False
        self.pipe: Connection[Any, Any] | None = None
        """What the process says, until it is gone."""
        self.process: Any = None

    def start(self) -> None:
        """Start a process, deaf to signals until it unblocks them."""
        self.is_ready = False
        self._hang_up()
        said = {"name": self.name, "replaces": None if self.process is None else self.process.pid}
        self.pipe, theirs = _SPAWN.Pipe()
        self.process = _SPAWN.Process(target=self._run, args=(theirs,), kwargs=said, name=self.name)
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
        try:
            self.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
            theirs.close()

    def hear(self) -> None:
        """Take what the process says: that it serves, or nothing more as it is gone."""
        try:
            self.is_ready = self.pipe is not None and bool(self.pipe.recv_bytes())
        except (EOFError, OSError):
            self._hang_up()

    @property
    def is_alive(self) -> bool:
        """Whether the process lives."""
        return self.process is not None and bool(self.process.is_alive())

    @property
    def cannot_start(self) -> bool:
        """Whether it left on its own before it served; killed ones may be luckier next time."""
        code = self.process.exitcode
        return not self.is_ready and code is not None and code > 0

    def tell(self, number: int) -> None:
        """Send a signal."""
        if self.is_alive:
            os.kill(self.process.pid, number)

    def _hang_up(self) -> None:
        if self.pipe is not None:
            self.pipe.close()
            self.pipe = None


class Supervisor:
    """All workers of a gateway."""

    def __init__(self, workers: list[Worker], told: Sequence[int]) -> None:
        """`told` are the signals that have come, and grows."""
        self._workers = workers
        self._told = told
        self._obeyed = 0
        """How many of them."""
        self._patience = Patience()
        self._was_complete = False
        """Whether all have served at the same time."""
        self._wake, self._alarm = socket.socketpair()

    def run(self) -> None:
        """Return when all have stopped as told. Raises SystemExit(1) when none can start."""
        self._alarm.setblocking(False)
        signal.set_wakeup_fd(self._alarm.fileno(), warn_on_full_buffer=False)
        deadline = time.monotonic() + START_SECS
        for worker in self._workers:
            worker.start()
        while any(worker.is_alive for worker in self._workers) or not self._told:
            if self._told:
                self._stop()
            else:
                self._tend(is_late=time.monotonic() > deadline)
            self._wait()

    def _stop(self) -> None:
        """Stop all in order; the second time, kill them where they stand."""
        told = len(self._told)
        if told > self._obeyed:
            self._obeyed = told
            for worker in self._workers:
                worker.tell(signal.SIGTERM if told == 1 else signal.SIGKILL)

    def _wait(self) -> None:
        """Return when a signal has come, a worker has said something or died, or it is time to look."""
        pipes = {worker.pipe: worker for worker in self._workers if worker.pipe is not None}
        alive = [worker.process.sentinel for worker in self._workers if worker.is_alive]
        calm = self._was_complete and len(alive) == len(self._workers)
        for ready in wait([self._wake, *pipes, *alive], timeout=None if calm else POLL_SECS):
            if ready is self._wake:
                self._wake.recv(64)
            elif isinstance(ready, Connection):
                pipes[ready].hear()
        self._was_complete |= all(worker.is_ready for worker in self._workers)

    def _tend(self, *, is_late: bool) -> None:
        """Start the dead again, or end all if none can."""
        dead = [worker for worker in self._workers if not worker.is_alive]
        serves = any(worker.is_ready and worker.is_alive for worker in self._workers)
        if (is_late and not self._was_complete) or (not serves and any(worker.cannot_start for worker in dead)):
            self._kill()
        for worker in dead:
            if self._patience.is_over(worker.name, time.monotonic()):
                worker.start()

    def _kill(self) -> None:
        for worker in self._workers:
            worker.tell(signal.SIGKILL)
            worker.process.join()
        raise SystemExit(1)
