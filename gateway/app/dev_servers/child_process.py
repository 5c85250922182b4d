"""A child process: a command line → one that is ready and dies with us. Never knows which server it runs."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from gateway.app.dev_servers import exec_as
from gateway.core.errors import LocalStackError

_POLL_SECS = 0.01
_TAIL_LINES = 12


class User(NamedTuple):
    """Whom a child runs as; numbers, because a chroot has its own names."""

    uid: int
    gid: int


class Stop(NamedTuple):
    """One step of stopping: the signal, and how long in seconds it may take before the next step."""

    signal: signal.Signals
    patience: float


POLITE = (Stop(signal.SIGTERM, 10.0), Stop(signal.SIGKILL, 5.0))


class Child:
    """One server process, started as our child and gone at the latest when we are.

    ``root``: chroot into this folder first (needs root); ``argv`` and ``cwd`` are then paths inside it.
    ``on_orphan``: what the kernel sends the child when the thread that started it ends (Linux only;
    elsewhere a SIGKILLed parent leaves the child behind). ``keep_fds`` stay open in the child.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str | Path],
        *,
        log: Path,
        user: User | None = None,
        root: Path | None = None,
        env: Mapping[str, str] | None = None,
        on_orphan: signal.Signals = signal.SIGTERM,
        stop: Sequence[Stop] = POLITE,
        keep_fds: Sequence[int] = (),
    ) -> None:
        self.name = name
        self.log = log
        self._argv = exec_as.command(
            [str(part) for part in argv], user=user, root=None if root is None else str(root), on_orphan=on_orphan
        )
        self._env = env
        self._stop = tuple(stop)
        self._keep_fds = tuple(keep_fds)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id of the running child; LocalStackError when it was never started or was stopped."""
        if self._process is None:
            raise LocalStackError(f"{self.name} is not started")
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process runs now (a child that ended by itself is reaped here)."""
        return self._process is not None and self._process.poll() is None

    def start(self, ready: Callable[[], bool], *, timeout: float = 20.0) -> None:
        """Start and wait until ``ready()``; LocalStackError with the end of the log when it ends or takes too long.

        From the main thread only: the death signal is tied to the thread that forks, so a child started
        from an executor's thread would be stopped whenever that thread is retired.
        """
        if threading.current_thread() is not threading.main_thread():
            raise LocalStackError(f"{self.name} must be started from the main thread")
        if self.alive:
            return
        self._spawn()
        deadline = time.monotonic() + timeout
        while not ready():
            if not self.alive:
                raise LocalStackError(f"{self.name} ended while starting; the end of {self.log}:\n{self.log_tail()}")
            if time.monotonic() > deadline:
                self.stop()
                raise LocalStackError(
                    f"{self.name} was not ready after {timeout:.0f} s; the end of {self.log}:\n{self.log_tail()}"
                )
            time.sleep(_POLL_SECS)

    def stop(self) -> None:
        """Stop step by step, politely first; returns when the process is gone. Safe to call twice."""
        process, self._process = self._process, None
        if process is None:
            return
        for step in self._stop:
            if process.poll() is not None:
                return
            process.send_signal(step.signal)
            with suppress(subprocess.TimeoutExpired):
                process.wait(step.patience)
        if process.poll() is None:
            raise LocalStackError(f"{self.name} (pid {process.pid}) does not end, not even by SIGKILL")

    def kill(self) -> None:
        """SIGKILL the process and every child of it, as a crash would; returns when all are gone."""
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGSTOP)  # it must not fork while its children are counted
        family = children_of(process.pid)
        for pid in (*family, process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait(10)
        wait_until(lambda: not any(map(running, family)), timeout=10, what=f"the children of {self.name} to end")

    def log_tail(self, lines: int = _TAIL_LINES) -> str:
        """Return the last lines of the log, for an error message."""
        with suppress(OSError):
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        return ""

    def _spawn(self) -> None:
        with self.log.open("ab") as log:
            try:
                self._process = subprocess.Popen(
                    self._argv,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd="/",
                    env=None if self._env is None else dict(self._env),
                    pass_fds=self._keep_fds,
                    start_new_session=True,  # Ctrl-C in a terminal is for us; we stop the children in order
                )
            except (OSError, subprocess.SubprocessError) as error:
                raise LocalStackError(f"{self.name} cannot be started: {error}") from error


def children_of(pid: int) -> tuple[int, ...]:
    """Process ids of the direct children, from /proc (none where there is no /proc)."""
    with suppress(OSError):
        return tuple(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
    return ()


def running(pid: int) -> bool:
    """Whether this process still runs; a zombie does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in {"Z", "X"}


def wait_until(condition: Callable[[], bool], *, timeout: float, what: str) -> None:
    """Poll until true; LocalStackError naming ``what`` after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise LocalStackError(f"waited {timeout:.0f} s in vain for {what}")
        time.sleep(_POLL_SECS)
