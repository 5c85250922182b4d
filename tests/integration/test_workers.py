"""The group of processes as a whole: started as a command, then one or all of them are told to go or killed."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.integration.worker_script import REFUSES
from tests.servers import plain_http

ROOT = Path(__file__).parents[2]
MARK = "WORKERS_TEST_MARK"
WORKERS = {"Sanic-Server-0-0", "Sanic-Server-1-0"}


class Group:
    """A started gateway and every process that descends from it, found by a mark in the environment."""

    def __init__(self, folder: Path, *, workers: int = 2, port: int | None = None, files: int | None = None) -> None:
        self.folder = folder
        self.mark = uuid.uuid4().hex
        self.port = port or free_port()
        self.errors = folder / "stderr"
        self.client = plain_http.Client(headers={"Connection": "close"}, timeout=5, trust_env=False, verify=False)
        self.base = f"http://127.0.0.1:{self.port}"
        metrics = folder / "metrics"
        metrics.mkdir(exist_ok=True)
        (metrics / "counter_1.db").write_bytes(b"stale")
        limited = [] if files is None else ["/bin/sh", "-c", f'ulimit -n {files}; exec "$@"', "sh"]
        script = [sys.executable, "-m", "tests.integration.worker_script", str(self.port), str(workers), str(folder)]
        with self.errors.open("wb") as errors:
            self.main = subprocess.Popen(
                limited + script,
                cwd=ROOT,
                stderr=errors,
                env={**os.environ, MARK: self.mark, "PROMETHEUS_MULTIPROC_DIR": str(metrics)},
                start_new_session=True,
            )

    def pids(self) -> set[int]:
        """The processes that live (a dead one that nobody has waited for yet does not)."""
        found = set()
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                with contextlib.suppress(OSError):
                    dead = (folder / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
                    if not dead and f"{MARK}={self.mark}".encode() in (folder / "environ").read_bytes():
                        found.add(int(folder.name))
        return found

    def get(self, path: str) -> httpx.Response | None:
        """One answer on a fresh connection, or None."""
        with contextlib.suppress(httpx.HTTPError):
            return self.client.get(self.base + path)
        return None

    def workers(self) -> dict[str, int]:
        """Names and process ids of the workers that answer, asked several times: any of them may take a connection."""
        found: dict[str, int] = {}
        for _ in range(40):
            answer = self.get("/readyz")
            if answer is not None and answer.status_code == 200:
                found[answer.json()["worker"]] = answer.json()["parts"]["process"]["pid"]
        return found

    def wait_ready(self, names: set[str]) -> dict[str, int]:
        found: dict[str, int] = {}

        def are_there() -> bool:
            found.clear()
            found.update(self.workers())
            return set(found) == names

        until(are_there, "the workers answer", self)
        return found

    def wait_gone(self) -> None:
        until(lambda: not self.pids(), "no process is left", self)

    def end(self) -> None:
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.main.wait(10)
        self.client.close()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def until(true: Callable[[], bool], what: str, group: Group, secs: float = 30) -> None:
    deadline = time.monotonic() + secs
    while not true():
        said = group.errors.read_text()
        assert time.monotonic() < deadline, f"waited in vain: {what}\n{said}"
        time.sleep(0.05)


@pytest.fixture(name="group")
def started(tmp_path: Path) -> Iterator[Group]:
    group = Group(tmp_path)
    try:
        group.wait_ready(WORKERS)
        yield group
    finally:
        group.end()


def test_a_killed_worker_comes_back_and_its_counts_stay(group: Group) -> None:
    before = group.workers()
    os.kill(before["Sanic-Server-0-0"], signal.SIGKILL)
    until(lambda: before["Sanic-Server-0-0"] not in group.pids(), "the worker is dead", group)
    after = group.wait_ready(WORKERS)
    assert after["Sanic-Server-0-0"] != before["Sanic-Server-0-0"]
    assert after["Sanic-Server-1-0"] == before["Sanic-Server-1-0"]
    os.kill(after["Sanic-Server-0-0"], signal.SIGKILL)
    until(lambda: after["Sanic-Server-0-0"] not in group.pids(), "the worker is dead again", group)
    group.wait_ready(WORKERS)
    scraped = group.get("/metrics")
    assert scraped is not None
    [counted] = [line for line in scraped.text.splitlines() if 'route="readyz",status="2xx"' in line]
    assert float(counted.split()[-1]) >= 160
    assert group.main.poll() is None


def test_sigterm_ends_all_with_exit_code_0_and_serves_what_is_in_hand(group: Group) -> None:
    with socket.create_connection(("127.0.0.1", group.port), timeout=10) as client:
        client.sendall(
            b"POST /v1/readings HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin\r\nContent-Length: 4\r\n\r\nslow"
        )
        until((group.folder / "taken").exists, "the body is taken", group)
        group.main.send_signal(signal.SIGTERM)
        assert client.recv(4096).startswith(b"HTTP/1.1 200 OK")
    assert group.main.wait(20) == 0
    group.wait_gone()
    assert not (group.folder / "metrics").exists()
    assert "Traceback" not in group.errors.read_text()


def test_ctrl_c_in_a_terminal_ends_all_in_order(group: Group) -> None:
    os.killpg(group.main.pid, signal.SIGINT)
    assert group.main.wait(20) == 0
    group.wait_gone()
    assert "Traceback" not in group.errors.read_text()


def test_a_sigterm_to_every_process_at_once_ends_all_in_order(group: Group) -> None:
    for pid in group.pids():
        os.kill(pid, signal.SIGTERM)
    assert group.main.wait(20) == 0
    group.wait_gone()
    said = group.errors.read_text()
    assert said.count("worker_stopped") == 2
    assert "Traceback" not in said


def test_nothing_outlives_a_killed_main_process(group: Group) -> None:
    group.main.kill()
    group.wait_gone()
    assert group.errors.read_text().count("worker_stopped") == 2
    assert not (group.folder / "metrics").exists()


def test_a_worker_that_cannot_start_again_is_tried_until_it_can(group: Group) -> None:
    workers = group.workers()
    (group.folder / "refuse").touch()
    os.kill(workers["Sanic-Server-1-0"], signal.SIGKILL)
    until(lambda: REFUSES in group.errors.read_text(), "the worker refused to start", group)
    assert set(group.workers()) == {"Sanic-Server-0-0"}
    (group.folder / "refuse").unlink()
    group.wait_ready(WORKERS)
    assert group.workers()["Sanic-Server-0-0"] == workers["Sanic-Server-0-0"]


def test_a_worker_that_is_killed_before_it_serves_is_started_again(tmp_path: Path) -> None:
    (tmp_path / "hang").touch()
    group = Group(tmp_path)
    try:
        hung = [tmp_path / f"hangs {name}" for name in WORKERS]
        until(lambda: all(one.exists() and one.read_text() for one in hung), "the workers are starting", group)
        (tmp_path / "hang").unlink()
        for one in hung:
            os.kill(int(one.read_text()), signal.SIGKILL)
        group.wait_ready(WORKERS)
    finally:
        group.end()


def test_workers_that_cannot_start_end_the_command_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "refuse").touch()
    group = Group(tmp_path)
    try:
        assert group.main.wait(30) == 1
        group.wait_gone()
        assert REFUSES in group.errors.read_text()
        assert not (tmp_path / "metrics").exists()
    finally:
        group.end()


def test_a_signal_ends_workers_that_are_still_starting(tmp_path: Path) -> None:
    (tmp_path / "hang").touch()
    group = Group(tmp_path)
    try:
        for name in WORKERS:
            until((tmp_path / f"hangs {name}").exists, "the workers are starting", group)
        group.main.send_signal(signal.SIGTERM)
        assert group.main.wait(20) == 0
        group.wait_gone()
    finally:
        group.end()


def test_a_second_signal_kills_who_is_still_serving(group: Group) -> None:
    with socket.create_connection(("127.0.0.1", group.port), timeout=10) as client:
        client.sendall(
            b"POST /v1/readings HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin\r\nContent-Length: 4\r\n\r\ns"
        )
        until(lambda: len(group.workers()) == 2, "both serve", group)
        group.main.send_signal(signal.SIGTERM)
        until(lambda: "worker_draining" in group.errors.read_text(), "they are stopping", group)
        group.main.send_signal(signal.SIGTERM)
        assert group.main.wait(4) == 0  # the grace is 5 s
    group.wait_gone()
    assert not (group.folder / "metrics").exists()


def test_the_main_process_rests_while_all_serve(group: Group) -> None:
    def turns() -> int:
        switches = Path(f"/proc/{group.main.pid}/status").read_text().partition("\nvoluntary_ctxt_switches:")[2]
        return int(switches.split()[0])

    time.sleep(0.5)
    before = turns()
    time.sleep(1)
    assert turns() - before <= 1


def test_one_worker_is_served_the_same_way(tmp_path: Path) -> None:
    group = Group(tmp_path, workers=1)
    try:
        group.wait_ready({"Sanic-Server-0-0"})
        group.main.send_signal(signal.SIGTERM)
        assert group.main.wait(20) == 0
        group.wait_gone()
    finally:
        group.end()
