"""Ctrl-C at the moments when something is still being imported: a quiet end, and nobody left.

A terminal signals every process of the group. The moments are seen from outside: each is hit, whatever the speed.
"""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.serving import STOP_SECS, Gateway, descendants, wait_for

NOT_BEGUN, STOPPED = 130, 0
TRACKER, WORKERS = 1, 1


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    """One that has just been started; its database and Redis are away, which is no reason for it to end."""
    environ = {
        "GATEWAY_DATABASE__URL": "postgresql://nobody@127.0.0.1:1/none",
        "GATEWAY_REDIS__URL": "redis://127.0.0.1:1",
        "GATEWAY_SPOOL__DIR": str(tmp_path / "spool"),
        "GATEWAY_HTTP__WORKERS": str(WORKERS),
        "GATEWAY_HTTP__DRAIN_SECS": "0",
    }
    gateway = Gateway(environ, tmp_path / "log")
    try:
        gateway.launch()
        yield gateway
    finally:
        gateway.close()


def pid_of(gateway: Gateway) -> int:
    assert gateway.process is not None
    return gateway.process.pid


def wait(gateway: Gateway, condition: Callable[[], bool], what: str) -> None:
    wait_for(condition, lambda: f"{what}; its log:\n{gateway.log.read_text()[-2000:]}", secs=STOP_SECS)


def interrupt(gateway: Gateway, *, code: int) -> str:
    """Press Ctrl-C, check that all end without noise, and return what was said."""
    pid = pid_of(gateway)
    there = [pid, *descendants(pid)]
    os.killpg(pid, signal.SIGINT)
    assert gateway.process is not None
    assert gateway.process.wait(STOP_SECS) == code
    wait(gateway, lambda: not [pid for pid in there if Path(f"/proc/{pid}").exists()], "nobody is left")
    said = gateway.log.read_text()
    assert "Traceback" not in said
    assert "KeyboardInterrupt" not in said
    return said


def test_while_the_command_is_imported(gateway: Gateway) -> None:
    maps = Path(f"/proc/{pid_of(gateway)}/maps")
    wait(gateway, lambda: "msgspec" in maps.read_text(), "it loads a library")
    assert interrupt(gateway, code=NOT_BEGUN) == ""


@pytest.mark.parametrize("children", [TRACKER, TRACKER + WORKERS])
def test_while_processes_begin(gateway: Gateway, children: int) -> None:
    wait(gateway, lambda: len(descendants(pid_of(gateway))) >= children, f"it has {children} children")
    interrupt(gateway, code=STOPPED)


def test_while_a_worker_begins_anew(gateway: Gateway) -> None:
    wait(gateway, lambda: gateway.log.read_text().count("Worker ready.") == WORKERS, "all workers serve")
    before = gateway.workers()
    os.kill(before[0], signal.SIGKILL)
    wait(gateway, lambda: not set(gateway.workers()) <= set(before), "another one begins")
    interrupt(gateway, code=STOPPED)
