"""Which processes are the gateway, the database, Redis and the broker, and what each costs. Only looks.

A part on another host, in a container of its own, or of a user whose processes we may not see is not there: its cost is
not told, rather than guessed.
"""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self, get_args

import redis.asyncio
from redis.exceptions import RedisError

from simulator.core.addresses import split
from simulator.core.errors import Unreachable, UsageError
from simulator.measure.bench import processes
from simulator.measure.bench.processes import PROC, Process, cpu_seconds, family, resident_bytes

_REDIS = "Redis is given with --redis as redis://user:password@host:port/0, special characters percent-encoded."
Part = Literal["gateway", "database", "redis", "broker"]
PARTS: tuple[Part, ...] = get_args(Part)
_ANSWER_S = 5.0


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU seconds each part has used so far; what the gateway holds in memory, in bytes."""

    cpu: dict[Part, float]
    resident: int

    def since(self, before: Self) -> dict[Part, float]:
        """Return the CPU seconds used since an earlier look, of the parts seen both times."""
        return {part: self.cpu[part] - before.cpu[part] for part in self.cpu if part in before.cpu}


class Parts:
    """The parts by the processes at their tops. What stands below one part and is a part itself counts only there."""

    def __init__(self, roots: Mapping[Part, frozenset[int]]) -> None:
        self._roots = {part: pids for part, pids in roots.items() if pids}

    @property
    def missing(self) -> list[str]:
        """Parts whose processes were not found."""
        return [part for part in PARTS if part not in self._roots]

    def look(self, proc: Path = PROC) -> Cost:
        """Return what they have used so far."""
        running = processes.snapshot(proc)
        pids = {part: self._own(running, part) for part in self._roots}
        cpu = {part: cpu_seconds(running, own) for part, own in pids.items() if own}
        return Cost(cpu, resident_bytes(running, pids.get("gateway", set())))

    def _own(self, running: Mapping[int, Process], part: Part) -> set[int]:
        others = {pid for other, pids in self._roots.items() if other != part for pid in pids}
        own = family(running, self._roots[part])
        return own - family(running, others & own)


def on_port(host: str, port: int) -> frozenset[int]:
    """Return the processes that listen on a port of this host; none for another host."""
    return processes.listeners(port) if is_here(host) else frozenset()


def is_here(host: str) -> bool:
    """Whether a host name or address means this machine for certain."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def given(pid: int) -> frozenset[int]:
    """Return a process the user has named. Raises UsageError if there is none."""
    if pid not in processes.snapshot():
        raise UsageError(f"--gateway-pid: there is no process {pid} here.")
    return frozenset({pid})


def of_backend(pid: int, proc: Path = PROC) -> frozenset[int]:
    """Return the postmaster above a backend of ours, none if that backend is not a process of this machine."""
    running = processes.snapshot(proc)
    backend = running.get(pid)
    above = running.get(backend.parent) if backend else None
    if backend is None or above is None or not backend.name.startswith("postgres") or above.name != backend.name:
        return frozenset()
    return frozenset({above.pid})


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
    found = processes.snapshot().get(pid)
    known = found is not None and any(name in found.name for name in ("redis", "valkey", "keydb", "dragonfly"))
    return frozenset({pid}) if known else frozenset()
