"""A whole gateway that may open few files, and more connections than that: it stays well, and says what is wrong."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import orjson
import pytest

from gateway.web.limits.connections import STANDING, seats
from tests.integration.test_workers import Group, until

FILES = 512
SEATS = seats(10_000, FILES)
CROWD = FILES + FILES // 4
ALIVE = b"GET /livez HTTP/1.1\r\nHost: g\r\n\r\n"
ASK = b"GET /v1/devices/d1/state HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer admin\r\n\r\n"
WAIT_SECS = 10.0


class Client:
    """One blocking connection."""

    def __init__(self, group: Group) -> None:
        self._socket = socket.create_connection(("127.0.0.1", group.port), WAIT_SECS)

    def ask(self, request: bytes) -> bytes:
        """Return the first bytes of the answer; none if the other end hung up."""
        with suppress(ConnectionError):
            self._socket.sendall(request)
            return self._socket.recv(4096)
        return b""

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@pytest.fixture(name="group")
def started(tmp_path: Path) -> Iterator[Group]:
    group = Group(tmp_path, workers=1, files=FILES)
    try:
        until(lambda: group.get("/livez") is not None, "it is there", group)
        yield group
    finally:
        group.end()


def worker(group: Group) -> int:
    """Return the process that serves."""
    answer = group.get("/readyz")
    assert answer is not None
    return int(answer.json()["parts"]["process"]["pid"])


def open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def cpu_secs(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def names(group: Group) -> list[str]:
    return [orjson.loads(line)["name"] for line in group.errors.read_text().splitlines() if line.startswith("{")]


def test_more_connections_than_files_do_it_no_harm(group: Group) -> None:
    pid = worker(group)
    until(lambda: open_files(pid) < FILES - SEATS - STANDING, "what asked whether it is ready is closed", group)
    with ExitStack() as stack:
        seated = [stack.enter_context(Client(group)) for _ in range(SEATS)]
        assert all(one.ask(ASK).startswith(b"HTTP/1.1 404") for one in seated)
        crowd = [stack.enter_context(Client(group)) for _ in range(CROWD)]
        assert open_files(pid) < FILES
        told = [one.ask(ASK)[:12] for one in reversed(crowd)]
        assert told.count(b"HTTP/1.1 503") > CROWD / 2
        assert set(told) <= {b"HTTP/1.1 503", b""}  # b"": told and shown out before it asked, so that it reads a reset
        assert all(one.ask(ASK).startswith(b"HTTP/1.1 404") for one in seated)
        assert not is_busy(pid)
        until(lambda: alive(group), "a probe is answered", group)
        for one in seated[:3]:
            one.close()
        until(lambda: served(group), "a seat that was left is taken", group)
    said = names(group)
    assert "connections_lowered" in said
    assert 1 <= said.count("overloaded") < CROWD / 4
    assert worker(group) == pid


def is_busy(pid: int) -> bool:
    """Whether it does something though nobody asks it anything."""
    before = cpu_secs(pid)
    time.sleep(0.5)
    return cpu_secs(pid) - before > 0.25


def alive(group: Group) -> bool:
    with Client(group) as one:
        return one.ask(ALIVE).startswith(b"HTTP/1.1 200")


def served(group: Group) -> bool:
    with Client(group) as one:
        return one.ask(ASK).startswith(b"HTTP/1.1 404")
