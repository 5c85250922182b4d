"""What processes cost, from a /proc of our own making and from the real one."""

import os
import time
from pathlib import Path

import pytest

from simulator.core.errors import UsageError
from simulator.measure.bench import processes
from simulator.measure.bench.processes import Parts, describe

TICK = 1 / os.sysconf("SC_CLK_TCK")


PAGE = os.sysconf("SC_PAGE_SIZE")


def stat(
    pid: int, parent: int, name: str = "python", ticks: tuple[int, int, int, int] = (0, 0, 0, 0), pages: int = 0
) -> str:
    """A line as proc(5) says: fields 5 to 13 and 18 to 23 are of no interest here."""
    return f"{pid} ({name}) S {parent} " + "9 " * 9 + " ".join(map(str, ticks)) + " " + "8 " * 6 + f"{pages} 7 7\n"


def fake(folder: Path, *lines: str) -> Path:
    for line in lines:
        place = folder / line.split()[0]
        place.mkdir()
        (place / "stat").write_text(line)
    (folder / "self").mkdir()
    return folder


@pytest.mark.parametrize("name", ["python", "a b", "x) S 1 (y", "(", "tmux: server"])
def test_a_line_is_read_whatever_the_name(name: str) -> None:
    process = processes.parse_stat(stat(17, 4, name, (1, 20, 300, 4000), 55))
    assert process == processes.Process(17, 4, name, 4321, 55)


def test_our_own_line_is_right() -> None:
    until = time.process_time() + 0.05
    while time.process_time() < until:
        pass
    times = os.times()
    own = processes.snapshot()[os.getpid()]
    told = (times.user + times.system + times.children_user + times.children_system) / TICK
    assert own.parent == os.getppid()
    assert abs(own.ticks - told) <= 10
    assert own.pages * PAGE > 2**20


def test_a_family_is_everything_below_its_roots_that_runs(tmp_path: Path) -> None:
    proc = fake(tmp_path, stat(1, 0), stat(2, 1), stat(3, 2), stat(4, 3), stat(5, 1))
    running = processes.snapshot(proc)
    assert processes.family(running, [2]) == {2, 3, 4}
    assert processes.family(running, [3, 5, 99]) == {3, 4, 5}
    assert processes.family(running, []) == set()


def test_parts_below_other_parts_count_once(tmp_path: Path) -> None:
    """As under `gateway up`: the gateway is above its database, its Redis and its broker."""
    proc = fake(
        tmp_path,
        stat(10, 1, ticks=(100, 0, 0, 0), pages=3),
        stat(11, 10, ticks=(0, 50, 0, 0), pages=4),
        stat(20, 10, "postgres", (1000, 0, 500, 0), 5),
        stat(21, 20, "postgres", (200, 0, 0, 0), 6),
        stat(30, 10, "valkey-server", (7, 0, 0, 0), 7),
    )
    found = Parts(
        {"gateway": frozenset({10}), "database": frozenset({20}), "redis": frozenset({30}), "broker": frozenset()}
    )
    cost = found.look(proc)
    assert cost.cpu == pytest.approx({"gateway": 150 * TICK, "database": 1700 * TICK, "redis": 7 * TICK})
    assert cost.resident == 7 * PAGE
    assert found.missing == ["broker"]


def test_a_part_that_has_ended_is_not_told(tmp_path: Path) -> None:
    found = Parts({"gateway": frozenset({10}), "database": frozenset({20})})
    before = found.look(fake(tmp_path, stat(10, 1), stat(20, 1)))
    (tmp_path / "20" / "stat").unlink()
    (tmp_path / "10" / "stat").write_text(stat(10, 1, ticks=(30, 0, 0, 0)))
    assert found.look(tmp_path).since(before) == pytest.approx({"gateway": 30 * TICK})


def test_the_postmaster_is_above_our_backend(tmp_path: Path) -> None:
    proc = fake(tmp_path, stat(1, 0, "init"), stat(20, 1, "postgres"), stat(21, 20, "postgres"), stat(30, 1, "bash"))
    assert processes.of_backend(21, proc) == {20}
    assert processes.of_backend(30, proc) == frozenset(), "a process id of another container"
    assert processes.of_backend(99, proc) == frozenset()


def test_connections_do_not_count_as_listeners() -> None:
    table = (
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
        "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 101 1 0\n"
        "   1: 0100007F:1F90 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 102 1 0\n"
        "   2: 0100007F:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 103 1 0\n"
    )
    assert processes.parse_listening(table, 8080) == ["101"]
    assert processes.parse_listening("", 8080) == []


@pytest.mark.parametrize(
    ("host", "here"), [("127.0.0.1", True), ("localhost", True), ("::1", True), ("10.1.2.3", False), ("gw", False)]
)
def test_only_this_machine_is_here(host: str, *, here: bool) -> None:
    assert processes.is_here(host) is here


def test_a_given_process_must_be_there() -> None:
    assert processes.given(os.getpid()) == {os.getpid()}
    with pytest.raises(UsageError, match="no process 999999999"):
        processes.given(999_999_999)


def test_the_machine_in_one_line(tmp_path: Path) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text("processor\t: 0\nmodel name\t: Fast: 9\n")
    assert describe(info).startswith("Fast: 9, ")
    assert f"{len(os.sched_getaffinity(0))} cores" in describe(tmp_path / "none")
