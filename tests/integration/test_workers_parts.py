"""The parts of the worker group that need no group: binding, patience, names, the folder of the metrics."""

import os
import resource
import socket
import sys
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest

from gateway.app.processes import run_folder
from gateway.app.processes.listening import BIND_SECS, NOT_SENT_BYTES, bind, raise_file_limit
from gateway.app.processes.supervisor import CALM_SECS, LONGEST_GAP_SECS, Patience
from gateway.app.processes.worker_process import worker_index
from gateway.core.errors import StartError
from gateway.core.settings import HttpSettings
from gateway.telemetry import MULTIPROC_ENV


class HandClock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, secs: float) -> None:
        self.now += secs


def taken() -> tuple[socket.socket, int]:
    holder = socket.create_server(("127.0.0.1", 0))
    return holder, int(holder.getsockname()[1])


def test_a_taken_port_names_the_setting_after_a_while() -> None:
    holder, port = taken()
    clock = HandClock()
    with (
        holder,
        pytest.raises(StartError, match=rf"port {port}: it is taken; set GATEWAY_HTTP__HOST and GATEWAY_HTTP__PORT"),
    ):
        bind(HttpSettings(port=port), sleep=clock.sleep, clock=clock)
    assert clock.now >= BIND_SECS


def test_a_port_that_becomes_free_is_taken() -> None:
    holder, port = taken()
    clock = HandClock()

    def sleep(secs: float) -> None:
        clock.sleep(secs)
        if clock.now > 2:
            holder.close()

    with bind(HttpSettings(port=port), sleep=sleep, clock=clock) as bound:
        assert bound.getsockname()[1] == port


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_an_address_that_is_not_ours_fails_at_once(host: str) -> None:
    def sleep(_: float) -> None:
        pytest.fail("waited for an address that cannot become ours")

    with pytest.raises(StartError, match=f"cannot listen on {host}"):
        bind(HttpSettings(host=host, port=0), sleep=sleep)


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "localhost"])
def test_addresses_and_names_are_bound(host: str) -> None:
    with bind(HttpSettings(host=host, port=0)) as bound:
        assert bound.getsockname()[1]


def test_a_dead_worker_is_started_at_once_and_then_ever_later() -> None:
    patience = Patience()
    starts = [now for now in range(200) if patience.is_over("w", now)]
    assert starts[:5] == [0, 2, 6, 11, 16]
    gaps = [later - earlier for earlier, later in pairwise(starts)]
    assert max(gaps) == LONGEST_GAP_SECS
    assert patience.is_over("other", 0)


def test_a_worker_that_lived_long_is_started_at_once() -> None:
    patience = Patience()
    for now in range(10):
        patience.is_over("w", now)
    later = 10 + LONGEST_GAP_SECS + CALM_SECS
    assert patience.is_over("w", later)
    assert not patience.is_over("w", later + 1)
    assert patience.is_over("w", later + 2)


@pytest.mark.parametrize(
    ("name", "index"), [("Sanic-Server-0-0", 0), ("Sanic-Server-1-0", 1), ("Sanic-Server-12-0", 12), ("worker", 0)]
)
def test_worker_numbers(name: str, index: int) -> None:
    assert worker_index(name) == index


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has this bound")
def test_the_system_takes_little_for_a_reader_that_takes_nothing() -> None:
    with bind(HttpSettings(port=0)) as listening, socket.socket() as reader:
        listening.listen()
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.connect(listening.getsockname())
        ours, _ = listening.accept()
        with ours:
            ours.settimeout(0.2)
            taken_bytes = 0
            with suppress(TimeoutError):
                while taken_bytes < 2**23:
                    taken_bytes += ours.send(b" " * 65_536)
    assert taken_bytes <= 2 * NOT_SENT_BYTES


def test_the_folder_of_the_metrics_is_emptied_of_metrics_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MULTIPROC_ENV, str(tmp_path / "m"))
    folder = run_folder.prepare(os.environ)
    (folder / "counter_7.db").touch()
    (folder / "notes.txt").touch()
    assert run_folder.prepare(os.environ) == tmp_path / "m"
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


def test_without_a_folder_one_is_made_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MULTIPROC_ENV, "")  # so that what is set here is undone, also where nothing was set before
    monkeypatch.delenv(MULTIPROC_ENV)
    folder = run_folder.prepare(os.environ)
    try:
        assert os.environ[MULTIPROC_ENV] == str(folder)
        assert folder.is_dir()
    finally:
        run_folder.forget(folder)
    assert not folder.exists()


def test_as_many_files_may_be_open_as_the_system_allows() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
        raise_file_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
