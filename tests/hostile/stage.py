"""The stage: a gateway on real servers, credentials for everybody, and honest clients beside whom attacks are made."""

import asyncio
import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import asyncpg

from gateway.core.settings import Settings
from tests.e2e.serving import ADMIN_KEY, Gateway, descendants, environ_of, wait_for
from tests.hostile import packets, processes
from tests.hostile.attack import Place
from tests.hostile.honest import DEVICES
from tests.servers import plain_http

ADMIN = {"Authorization": f"Bearer {ADMIN_KEY}"}
ASK_SECS = 10.0
REPORT_SECS = 60.0
SHARE, LEAST, MOST = 0.2, 100.0, 1_000.0
"""Of the capacity, and what is offered in a second at least and at most."""
BULK = 60_000
"""Readings of a device that reads of history are about."""
STORED = "select count(*) from messages m join devices d on d.id = m.device_id where d.name like 'honest-%'"
TICKS = os.sysconf("SC_CLK_TCK")


class Servers(NamedTuple):
    """The addresses of what a gateway needs, and a folder for its log and spool."""

    database: str
    redis: str
    broker: str
    folder: Path


class Rates(NamedTuple):
    """What honest clients send in a second."""

    posts: float
    reads: float
    messages: float


@dataclass
class Stage:
    """A gateway that runs, and what is known of it."""

    servers: Servers
    gateway: Gateway
    place: Place
    honest: "subprocess.Popen[str]"
    rates: Rates
    before: int
    """Messages of honest clients that were stored before these came."""

    def mark(self) -> dict[str, Any]:
        """Return what honest clients found since the last mark."""
        assert self.honest.stdin is not None
        assert self.honest.stdout is not None
        self.honest.stdin.write("\n")
        self.honest.stdin.flush()
        report: dict[str, Any] = json.loads(self.honest.stdout.readline())
        assert report["broken"] == [], report
        return report

    def pids(self) -> list[int]:
        """Return the gateway's processes."""
        assert self.gateway.process is not None
        return [self.gateway.process.pid, *descendants(self.gateway.process.pid)]

    def rss(self) -> int:
        """Return the bytes of memory that are its own (proc(5), RssAnon)."""
        return sum(map(anonymous, self.pids()))

    def cpu(self) -> float:
        """Return the CPU seconds of its processes so far."""
        return sum(map(cpu_secs, self.pids()))

    def books(self) -> Mapping[str, Any]:
        """Return the ledger; raises httpx.HTTPError."""
        found: Mapping[str, Any] = (
            plain_http.get(f"{self.gateway.url}/v1/ledger", headers=ADMIN, timeout=ASK_SECS).raise_for_status().json()
        )
        return found

    def stored(self) -> int:
        """Return how many messages of these honest clients are in the database."""
        return asyncio.run(count(self.servers.database)) - self.before


async def count(database: str) -> int:
    """Return how many messages of honest clients are in a database."""
    connection = await asyncpg.connect(database, timeout=ASK_SECS)
    try:
        return int(await connection.fetchval(STORED, timeout=60))
    finally:
        await connection.close()


@contextmanager
def stage(servers: Servers, *, workers: int, capacity_secs: float, seats: int = 10_000) -> Iterator[Stage]:
    """Start a gateway as it comes, but that it makes a device of whatever posts, and honest clients.

    They offer a fifth of what it was measured to take within `capacity_secs`.
    """
    settings = environ_of(
        servers.database,
        servers.redis,
        servers.folder,
        GATEWAY_MQTT__URL=servers.broker,
        GATEWAY_HTTP__WORKERS=str(workers),
        GATEWAY_HTTP__MAX_CONNECTIONS=str(seats),
        GATEWAY_HTTP__DRAIN_SECS="0.2",
    )
    with ExitStack() as stack:
        asyncio.run(forget(servers.broker))
        gateway = Gateway(settings, servers.folder / "gateway.log")
        stack.callback(gateway.close)
        gateway.start()
        pids = tuple(gateway.workers()) or (gateway.process.pid if gateway.process else 0,)
        place = Place(gateway.port, urlsplit(servers.broker).port or 0, issue(gateway), workers, seats, pids)
        before = asyncio.run(count(servers.database))
        rates = rates_of(processes.capacity(place, capacity_secs))
        words = [word for name, rate in rates._asdict().items() for word in (f"--{name}", f"{rate:g}")]
        honest = stack.enter_context(processes.child(place, "tests.hostile.honest", *words))
        made = Stage(servers, gateway, place, honest, rates, before)
        began = made.mark()
        wait_for(lambda: is_calm(made.mark()), lambda: f"honest clients are served: {began}", secs=REPORT_SECS)
        yield made


async def forget(broker: str) -> None:
    """Have the broker drop what it kept for a gateway that is gone: a clean start (MQTT 5, 3.1.2.4)."""
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(broker).port or 0)
    writer.write(packets.connect(Settings().mqtt.client_id))
    await packets.read(reader)
    writer.close()


def rates_of(capacity: float) -> Rates:
    """Return a fifth of so many posts a second: six tenths of it posts, three reads, and one over MQTT."""
    offered = min(max(SHARE * capacity, LEAST), MOST)
    return Rates(0.6 * offered, 0.3 * offered, 0.1 * offered)


def is_calm(found: Mapping[str, Any]) -> bool:
    """Whether honest clients of every kind were answered, and none in vain."""
    time.sleep(0.3)
    return {"post", "read", "health"} <= found["kinds"].keys() and not found["failures"]


def issue(gateway: Gateway) -> dict[str, str]:
    """Register those who are not anonymous, and return their tokens."""
    with plain_http.Client(base_url=gateway.url, headers=ADMIN, timeout=ASK_SECS) as client:
        for name in (
            "press-1",
            "press-2",
            "press-3",
            "press-4",
            "bulk",
            "honest-mqtt",
            *(f"honest-{i}" for i in range(DEVICES)),
        ):
            reply = client.post("/v1/devices", json={"device": name})
            assert reply.status_code in (201, 409), reply.text
        now = time.time_ns() // 1_000_000
        bulk = {
            "device": "bulk",
            "ts": [now - 1000 * i for i in range(BULK)],
            "values": {"t": [i / 7 for i in range(BULK)]},
        }
        assert client.post("/v1/readings", json=bulk).status_code == 200

        def key(role: str) -> str:
            return str(
                client.post("/v1/keys", json={"role": role, "label": "hostile"}).raise_for_status().json()["token"]
            )

        def device(name: str) -> str:
            return str(client.post(f"/v1/devices/{name}/keys:rotate").raise_for_status().json()["token"])

        return {
            "device": device("press-1"),
            "names": device("press-4"),
            "ingest": key("ingest"),
            "reader": key("reader"),
            "honest": key("ingest"),
            "honest_reader": key("reader"),
            "admin": ADMIN_KEY,
        }


def anonymous(pid: int) -> int:
    """Return the anonymous bytes of a process; 0 if it is gone."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return 1024 * int(line.split()[1])
    return 0


def cpu_secs(pid: int) -> float:
    """Return the CPU seconds of a process (proc(5), stat); 0 if it is gone."""
    with suppress(OSError, IndexError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS
    return 0.0
