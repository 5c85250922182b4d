"""Freezing: a process in; it and all below it stopped for a while, as on a machine that hangs. Linux only."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gateway.app.dev_servers.child_process import Child, children_of, wait_until

STOP_SECS = 5.0


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """SIGSTOP of a process and all below it, SIGCONT on the way out, whatever happens. Raises ProcessLookupError.

    A parent is stopped before its children are looked for: it starts nobody any more, and as it reaps nobody either, no
    process id of theirs comes to belong to somebody else.
    """
    stopped: list[int] = []
    try:
        _stop(pid, stopped)
        yield
    finally:
        for one in stopped:
            with suppress(ProcessLookupError):
                os.kill(one, signal.SIGCONT)


def main_process(server: object) -> int:
    """The first process of a server of ours."""
    child = getattr(server, "_child", None)
    assert isinstance(child, Child)
    return child.pid


def _stop(pid: int, stopped: list[int]) -> None:
    os.kill(pid, signal.SIGSTOP)
    stopped.append(pid)
    wait_until(lambda: state_of(pid) in "TtZX", timeout=STOP_SECS, what=f"process {pid} to stop")
    for child in children_of(pid):
        with suppress(ProcessLookupError):  # it has ended by itself
            _stop(child, stopped)


def state_of(pid: int) -> str:
    """Return the letter of proc(5): R, S, T, Z…; X if there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "X"
