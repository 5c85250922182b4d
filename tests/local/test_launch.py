import sys
import threading
from collections.abc import Callable
from pathlib import Path
from signal import SIGKILL, SIGTERM

import pytest

from gateway.app.dev_servers.child_process import Child, Stop, children_of, running
from gateway.core.errors import LocalStackError

DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
FAMILY = "import subprocess; print('up', flush=True); subprocess.run(['sleep', '60'])"


def child(code: str, log: Path, *, stop: tuple[Stop, ...] = (Stop(SIGTERM, 5.0), Stop(SIGKILL, 5.0))) -> Child:
    return Child("The test's child", [sys.executable, "-c", code], log=log, stop=stop)


def up(log: Path) -> Callable[[], bool]:
    return lambda: "up" in log.read_text()


def test_one_that_ends_while_starting_tells_why(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with pytest.raises(LocalStackError, match=r"(?s)child ended while starting.*the disk is on fire"):
        child("import sys; sys.exit('the disk is on fire')", log).start(lambda: False)


def test_one_that_is_never_ready_is_stopped(tmp_path: Path) -> None:
    one = child("import time; print('hm', flush=True); time.sleep(60)", tmp_path / "log")
    with pytest.raises(LocalStackError, match="was not ready after 0 s"):
        one.start(lambda: False, timeout=0.2)
    assert not one.alive


def test_one_that_does_not_listen_is_killed_in_the_end(tmp_path: Path) -> None:
    log = tmp_path / "log"
    one = child(DEAF, log, stop=(Stop(SIGTERM, 0.1), Stop(SIGKILL, 5.0)))
    one.start(up(log))
    pid = one.pid
    one.stop()
    assert not running(pid)
    one.stop()


def test_kill_takes_the_children_too(tmp_path: Path) -> None:
    log = tmp_path / "log"
    one = child(FAMILY, log)
    one.start(lambda: up(log)() and bool(children_of(one.pid)))
    family = (one.pid, *children_of(one.pid))
    one.kill()
    assert not any(map(running, family))


def test_only_the_main_thread_may_start_one(tmp_path: Path) -> None:
    errors: list[Exception] = []

    def start() -> None:
        try:
            child(DEAF, tmp_path / "log").start(lambda: True)
        except LocalStackError as error:
            errors.append(error)

    thread = threading.Thread(target=start, name="not the main thread")
    thread.start()
    thread.join(10)
    assert [str(error) for error in errors] == ["The test's child must be started from the main thread"]


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    one = Child("Nothing", ["/nonexistent/program"], log=tmp_path / "log")
    with pytest.raises(LocalStackError, match=r"(?s)Nothing ended while starting.*/nonexistent/program: No such file"):
        one.start(lambda: False)
