"""The processes of the gateway, the database, Redis and the broker, and what each costs: /proc in, figures out. Linux.

A part on another host, in a container of its own, or of a user whose processes we may not see is not there: its cost is
not told, rather than guessed. proc(5): `stat` holds, after the name in brackets, the parent (field 4) and the times of
the process and of the children it has waited for (fields 14 to 17, in clock ticks). Changes nothing.
"""

import ipaddress
import os
import platform
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self, get_args

import redis.asyncio
from redis.exceptions import RedisError

from simulator.core.addresses import split
from simulator.core.errors import Unreachable, UsageError
from simulator.measure.bench.interpreter import describe_python

PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_LISTEN = "0A"
_CPU_INFO = Path("/proc/cpuinfo")
_REDIS = "Redis is given with --redis as redis://user:password@host:port/0, special characters percent-encoded."
Component = Literal["gateway", "database", "redis", "broker"]
PARTS: tuple[Component, ...] = get_args(Component)
_ANSWER_S = 5.0


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


def listeners(port: int, proc: Path = PROC) -> frozenset[int]:
    """Return the topmost processes that hold a socket listening on this TCP port; none if we may not see them."""
    inodes, holders, processes = set[str](), set[int](), snapshot(proc)
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            inodes.update(f"socket:[{inode}]" for inode in parse_listening((proc / "net" / table).read_text(), port))
    for path in proc.glob("[0-9]*/fd/*"):
        with suppress(OSError):
            if os.readlink(path) in inodes:  # noqa: PTH115 - not a path
                holders.add(int(path.parent.parent.name))
    return frozenset(pid for pid in holders if pid in processes and processes[pid].parent not in holders)


def parse_listening(table: str, port: int) -> list[str]:
    """Return the inodes of sockets that listen on the port, from /proc/net/tcp."""
    rows = (line.split() for line in table.splitlines()[1:])
    return [row[9] for row in rows if row[3] == _LISTEN and int(row[1].rpartition(":")[2], 16) == port]


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU seconds each part has used so far; what the gateway holds in memory, in bytes."""

    cpu: dict[Component, float]
    resident: int

    def since(self, before: Self) -> dict[Component, float]:
        """Return the CPU seconds used since an earlier look, of the parts seen both times."""
        return {part: self.cpu[part] - before.cpu[part] for part in self.cpu if part in before.cpu}


class Parts:
    """The parts by the processes at their tops. What stands below one part and is a part itself counts only there."""

    def __init__(self, roots: Mapping[Component, frozenset[int]]) -> None:
        self._roots = {part: pids for part, pids in roots.items() if pids}

    @property
    def missing(self) -> list[str]:
        """Parts whose processes were not found."""
        return [part for part in PARTS if part not in self._roots]

    def look(self, proc: Path = PROC) -> Cost:
        """Return what they have used so far."""
        running = snapshot(proc)
        pids = {part: self._own(running, part) for part in self._roots}
        cpu = {part: cpu_seconds(running, own) for part, own in pids.items() if own}
        pages = sum(running[pid].pages for pid in pids.get("gateway", ()))  # those they share count for each
        return Cost(cpu, pages * _PAGE)

    def _own(self, running: Mapping[int, Process], part: Component) -> set[int]:
        others = {pid for other, pids in self._roots.items() if other != part for pid in pids}
        own = family(running, self._roots[part])
        return own - family(running, others & own)


def on_port(host: str, port: int) -> frozenset[int]:
    """Return the processes that listen on a port of this host; none for another host."""
    return listeners(port) if is_here(host) else frozenset()


def is_here(host: str) -> bool:
    """Whether a host name or address means this machine for certain."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def given(pid: int) -> frozenset[int]:
    """Return a process the user has named. Raises UsageError if there is none."""
    if pid not in snapshot():
        raise UsageError(f"--gateway-pid: there is no process {pid} here.")
    return frozenset({pid})


def of_backend(pid: int, proc: Path = PROC) -> frozenset[int]:
    """Return the postmaster above a backend of ours, none if that backend is not a process of this machine."""
    running = snapshot(proc)
    backend = running.get(pid)
    above = running.get(backend.parent) if backend and backend.name.startswith("postgres") else None
    return frozenset({above.pid}) if backend and above and above.name == backend.name else frozenset()


async def of_redis(url: str) -> frozenset[int]:
    """Ask Redis for its process; none if it is not one of this machine. Raises UsageError for no URL, Unreachable."""
    if split(url, with_query=True) is None:
        raise UsageError(_REDIS)
    try:
        async with redis.asyncio.from_url(url, socket_timeout=_ANSWER_S, socket_connect_timeout=_ANSWER_S) as client:
            pid = int((await client.info("server"))["process_id"])
    except (TypeError, ValueError):  # their words may quote a part of the password
        raise UsageError(_REDIS) from None
    except (RedisError, OSError, KeyError) as error:
        raise Unreachable(f"Redis does not answer at the address given with --redis: {error}.") from error
    found = snapshot().get(pid)
    known = found is not None and any(name in found.name for name in ("redis", "valkey", "keydb", "dragonfly"))
    return frozenset({pid}) if known else frozenset()


def describe(cpu_info: Path = _CPU_INFO) -> str:
    """Return its CPU, cores and system, and the Python we run on."""
    lines, cores = list[str](), len(os.sched_getaffinity(0))
    with suppress(OSError):
        lines = cpu_info.read_text().splitlines()
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    cpu = next(models, platform.machine())
    return f"{cpu}, {cores} cores, {platform.system()} {platform.release()}, {describe_python()}"
