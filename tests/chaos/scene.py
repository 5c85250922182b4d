"""In: nothing. Out: real servers, a gateway on them through a proxy, and what it counts. Never breaks anything.

The servers live as long as the campaign. Each block of rounds has a gateway and a simulator of its own.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx

from gateway.app.dev_servers.valkey import ValkeyServer
from tests.chaos.clock import Clock
from tests.chaos.gone import Reading
from tests.chaos.proxy import Proxy, proxy
from tests.e2e.serving import ADMIN_KEY, Gateway
from tests.servers import choose, plain_http
from tests.servers.mosquitto import Limits, Mosquitto
from tests.servers.postgres import TIMESCALE_TUNING, DatabaseServer

ASK_SECS = 1.0
"""Longest wait for one look at the gateway: a frozen worker may have taken the connection."""
SCRAPE_SECS = 0.25
"""Rest before each look at the counters, so that polling leaves time for work: under libfaketime a look is slow."""
VITAL = ("database", "redis", "mqtt")
"""The parts of /readyz that must be in order again after a fault; the spool may still be draining."""


class Flow(NamedTuple):
    """Readings since the gateway started: stored in the database, and acknowledged at each door."""

    stored: float = 0
    http: float = 0
    mqtt: float = 0

    def has_moved(self, since: "Flow") -> bool:
        """Whether all three went on; a counter that is below what it was belongs to a new process."""
        return all(now > (was if now >= was else 0) for now, was in zip(self, since, strict=True))


class Restarted(Gateway):
    """A gateway that is waited for only as far as a fault may reach."""

    def is_ready(self) -> bool:
        """Whether it may have traffic and every vital part is in order; a spool may be nearly full all the time."""
        with suppress(httpx.HTTPError):
            reply = plain_http.get(f"{self.url}/readyz", timeout=ASK_SECS)
            return reply.status_code == HTTPStatus.OK and _is_whole(reply)
        return False


class Ground(NamedTuple):
    """The servers of a campaign; all are our own, to be killed."""

    postgres: DatabaseServer
    valkey: ValkeyServer
    broker: Mosquitto
    folder: Path


@dataclass
class Scene:
    """The servers, and one gateway on them."""

    ground: Ground
    line: Proxy
    gateway: Gateway
    asking: httpx.Client
    clock: Clock | None = None
    """Of the gateway's processes, if it can be stepped."""
    first: Proxy | None = None
    """What the first of two hosts in the URL leads to, the server itself; `line` is the second."""
    began: float = field(default_factory=time.time)
    """Seconds since 1970."""
    taken: set[Reading] = field(default_factory=set)
    """What a standby that took over had never got: no gateway can help."""

    def flow(self) -> Flow:
        """Return what the gateway counts; raises httpx.HTTPError if it does not answer."""
        time.sleep(SCRAPE_SECS)
        sources = self.ledger()["sources"]
        stored = sum(books["stored"] for books in sources.values())
        return Flow(stored, sources["http"]["received"], sources["mqtt"]["received"])

    def flows(self, since: Flow) -> bool:
        """Whether both doors acknowledge, the database stores, and every vital part is in order."""
        with suppress(httpx.HTTPError):
            return self.flow().has_moved(since) and _is_whole(self.asking.get("/readyz"))
        return False

    def is_drained(self) -> bool:
        """Whether no worker has anything left in its spool."""
        with suppress(httpx.HTTPError):
            return sum(self._metrics("gateway_spool_rows").values()) == 0
        return False

    def ledger(self) -> dict[str, Any]:
        """Return the books of all workers; raises httpx.HTTPError."""
        answer = self.asking.get("/v1/ledger", headers={"Authorization": f"Bearer {ADMIN_KEY}"}).raise_for_status()
        books: dict[str, Any] = answer.json()
        return books

    def database(self) -> dict[str, Any]:
        """Return what /readyz says of the database; raises httpx.HTTPError."""
        facts: dict[str, Any] = self.asking.get("/readyz").json()["parts"]["database"]
        return facts

    def spool_refusals(self) -> float:
        """How often the spool was full so far; raises httpx.HTTPError."""
        return sum(self._metrics("gateway_spool_refusals_total").values())

    def _metrics(self, prefix: str) -> dict[str, float]:
        """Return the numbers whose name begins so, by name and labels."""
        time.sleep(SCRAPE_SECS)
        lines = self.asking.get("/metrics").raise_for_status().text.splitlines()
        pairs = (line.rpartition(" ") for line in lines if line.startswith(prefix))
        return {name: float(value) for name, _, value in pairs}


def _is_whole(reply: httpx.Response) -> bool:
    parts = reply.json()["parts"]
    return all(parts[name]["ok"] for name in VITAL)


@contextmanager
def ground(folder: Path) -> Iterator[Ground]:
    """Start all three servers. Raises NoGroundError where they cannot be had."""
    with ExitStack() as stack:
        yield Ground(
            stack.enter_context(choose.own_timescale(TIMESCALE_TUNING)),
            stack.enter_context(choose.valkey()),
            stack.enter_context(choose.mosquitto(Limits())),
            folder,
        )


def settings_of(servers: Ground, database: str = "") -> dict[str, str]:
    """Return what a gateway on these servers must find in its environment."""
    return {
        "GATEWAY_DATABASE__URL": database or servers.postgres.url(),
        "GATEWAY_REDIS__URL": servers.valkey.url(),
        "GATEWAY_MQTT__URL": servers.broker.url,
        "GATEWAY_AUTH__ADMIN_KEY": ADMIN_KEY,
        "GATEWAY_DEVICES__UNKNOWN": "auto",
        "GATEWAY_HTTP__DRAIN_SECS": "0.2",
        "GATEWAY_SPOOL__DIR": os.fspath(servers.folder / "spool"),
    }


@contextmanager
def scene(
    servers: Ground,
    *,
    workers: int,
    spool_bytes: int,
    steps_clock: bool = False,
    account: Callable[[str], str] | None = None,
    hosts: int = 1,
) -> Iterator[Scene]:
    """Start a gateway that reaches the database through a proxy; its spool outlives it, as on a real disk.

    `account` turns the URL of a superuser into the gateway's own. Raises NoGroundError if its clock is to be
    stepped and cannot be.
    """
    database = urlsplit(account(servers.postgres.url()) if account else servers.postgres.url())
    clock = Clock(servers.folder) if steps_clock else None
    with ExitStack() as stack:
        line = stack.enter_context(proxy(database.port or 5432))
        first = stack.enter_context(proxy(database.port or 5432)) if hosts > 1 else None
        places = ",".join(f"127.0.0.1:{each.port}" for each in (first, line) if each)
        user = database.netloc.rpartition("@")[0]
        environ = settings_of(servers, database._replace(netloc=f"{user}@{places}").geturl()) | {
            "GATEWAY_HTTP__WORKERS": str(workers),
            "GATEWAY_SPOOL__MAX_BYTES": str(spool_bytes),
            **(clock.environ() if clock else {}),
        }
        gateway = Restarted(environ, servers.folder / "gateway.log")
        stack.callback(gateway.close)
        gateway.start()
        no_reuse = httpx.Limits(max_keepalive_connections=0)  # a kept connection would stay with one worker
        asking = stack.enter_context(plain_http.Client(base_url=gateway.url, timeout=ASK_SECS, limits=no_reuse))
        yield Scene(servers, line, gateway, asking, clock, first)
