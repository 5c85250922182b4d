"""What processes cost: /proc in, CPU seconds and resident bytes of whole families out. Linux only; changes nothing.

proc(5): `stat` holds, after the name in brackets, the parent (field 4) and the times of the process and of the
children it has waited for (fields 14 to 17, in clock ticks).
"""

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_LISTEN = "0A"


@dataclass(frozen=True, slots=True)
class Process:
    """`ticks`: user and system time, with that of children that have ended; `pages`: resident."""

    pid: int
    parent: int
    name: str
    ticks: int
    pages: int


def parse_stat(text: str) -> Process:
    """Read a line of /proc/<pid>/stat. A name may hold blanks and brackets."""
    pid, _, rest = text.partition(" (")
    name, _, fields = rest.rpartition(") ")
    field = fields.split()  # field 3 of proc(5) is number 0 here
    return Process(int(pid), int(field[1]), name, sum(map(int, field[11:15])), int(field[21]))


def snapshot(proc: Path = PROC) -> dict[int, Process]:
    """Return all processes by pid; those that end meanwhile are left out."""
    found: dict[int, Process] = {}
    for path in proc.glob("[0-9]*/stat"):
        with suppress(OSError):
            process = parse_stat(path.read_text())
            found[process.pid] = process
    return found


def family(processes: Mapping[int, Process], roots: Iterable[int]) -> set[int]:
    """Return the roots that are running and everything below them."""
    children: defaultdict[int, list[int]] = defaultdict(list)
    for process in processes.values():
        children[process.parent].append(process.pid)
    found: set[int] = set()
    queue = [pid for pid in roots if pid in processes]
    while queue:
        pid = queue.pop()
        if pid not in found:
            found.add(pid)
            queue += children[pid]
    return found


def cpu_seconds(processes: Mapping[int, Process], pids: Iterable[int]) -> float:
    """Return the CPU time of these processes so far."""
    return sum(processes[pid].ticks for pid in pids) / _TICKS


def resident_bytes(processes: Mapping[int, Process], pids: Iterable[int]) -> int:
    """Return the memory of these processes; pages they share are counted for each."""
    return sum(processes[pid].pages for pid in pids) * _PAGE


def listeners(port: int, proc: Path = PROC) -> frozenset[int]:
    """Return the topmost processes that hold a socket listening on this TCP port; none if we may not see them."""
    inodes = {
        f"socket:[{inode}]" for table in ("tcp", "tcp6") for inode in parse_listening(_read(proc / "net" / table), port)
    }
    holders = {int(path.parent.parent.name) for path in proc.glob("[0-9]*/fd/*") if _link(path) in inodes}
    processes = snapshot(proc)
    return frozenset(pid for pid in holders if pid in processes and processes[pid].parent not in holders)


def parse_listening(table: str, port: int) -> list[str]:
    """Return the inodes of sockets that listen on the port, from /proc/net/tcp."""
    rows = (line.split() for line in table.splitlines()[1:])
    return [row[9] for row in rows if row[3] == _LISTEN and int(row[1].rpartition(":")[2], 16) == port]


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _link(path: Path) -> str:
    try:
        return os.readlink(path)  # noqa: PTH115 - not a path
    except OSError:
        return ""
