"""In: servers, a number. Out: what becomes of the gateway when so many devices at each door connect at once, twice.

Every reading must be acknowledged and stored once, and while it lasts a client that was there before keeps being
answered: its posts, and health checks on new connections.
"""

import asyncio
import json
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import asyncpg
import httpx

from tests.chaos.scene import Ground, Restarted, settings_of
from tests.chaos.swarm import TIMES
from tests.chaos.trial import Trial
from tests.e2e.serving import ADMIN_KEY, Gateway, wait_for
from tests.servers import plain_http

ANSWER_SECS = 5.0
"""Longest wait of those who watch."""
PAUSE_SECS = 0.1
SWARM_SECS = 300.0
STORED_SECS = 60.0
STORED = "select count(*) from messages m join devices d on d.id = m.device_id where d.name like 'storm-%'"


@dataclass
class Watch:
    """What clients found that were there before."""

    livez: list[float] = field(default_factory=list)
    posts: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def storm(servers: Ground, *, clients: int, within: float) -> Trial:
    """Let `clients` devices at each door connect `within` seconds, then cut them all off and let them come again."""
    trial = Trial("storm")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # for the swarm and the broker
    with ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        servers.broker.restart()
        gateway = Restarted(settings_of(servers), servers.folder / "gateway.log")
        stack.callback(gateway.close)
        gateway.start()
        with watching(gateway) as watch:
            report = swarm(gateway, broker=servers.broker.port, clients=clients, within=within)
        judge(trial, report, watch, expected=TIMES * clients)
        url = gateway.environ["GATEWAY_DATABASE__URL"]
        wait_for(
            lambda: asyncio.run(stored(url)) >= 2 * TIMES * clients,
            lambda: f"all is stored, and {asyncio.run(stored(url))} messages are",
            secs=STORED_SECS,
        )
        rows = asyncio.run(stored(url))
        trial.expect(that=rows == 2 * TIMES * clients, else_say=f"{rows} messages are stored")
        trial.expect(that=gateway.terminate() == 0, else_say="the gateway did not end with 0")
    return trial


def swarm(gateway: Gateway, *, broker: int, clients: int, within: float) -> dict[str, Any]:
    """Run a swarm to its end and return its report."""
    numbers = {"port": gateway.port, "broker": broker, "clients": clients, "within": within}
    words = [word for name, number in numbers.items() for word in (f"--{name}", str(number))]
    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos.swarm", "--prefix", "storm", *words],
        env=os.environ | {"SWARM_KEY": ADMIN_KEY},
        capture_output=True,
        timeout=SWARM_SECS,
        check=True,
    )
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def judge(trial: Trial, report: dict[str, Any], watch: Watch, *, expected: int) -> None:
    """Compare what the devices and the watchers saw with what must hold."""
    trial.figures |= {
        "acknowledged": f"{report['acknowledged']}, {expected} each expected",
        "time to an acknowledgement": f"p50 {report['p50']:.2f} s, longest {report['max']:.2f} s",
        "tried again": f"{report['again'] or 'nobody'}",
        "watchers": f"{len(watch.livez)} health checks, slowest {max(watch.livez):.2f} s; "
        f"{len(watch.posts)} posts, slowest {max(watch.posts):.2f} s",
    }
    for door in ("http", "mqtt"):
        count = report["acknowledged"].get(door, 0)
        trial.expect(that=count == expected, else_say=f"over {door} {count} of {expected} were acknowledged")
    trial.troubles += watch.failures[:5]


@contextmanager
def watching(gateway: Gateway) -> Iterator[Watch]:
    """Post on a connection that is kept, check the health on new ones: two threads, until the end of the block."""
    watch, ended = Watch(), threading.Event()
    threads = [
        threading.Thread(target=each, args=(gateway, watch, ended), name=each.__name__, daemon=True)
        for each in (_check, _post)
    ]
    for thread in threads:
        thread.start()
    try:
        yield watch
    finally:
        ended.set()
        for thread in threads:
            thread.join(2 * ANSWER_SECS)


def _check(gateway: Gateway, watch: Watch, ended: threading.Event) -> None:
    while not ended.wait(PAUSE_SECS):
        with _timed(watch.livez, watch.failures, "health check"):
            plain_http.get(f"{gateway.url}/livez", timeout=ANSWER_SECS).raise_for_status()


def _post(gateway: Gateway, watch: Watch, ended: threading.Event) -> None:
    body = {"device": "watcher", "values": {"t": 1.0}}
    headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
    with plain_http.Client(base_url=gateway.url, headers=headers, timeout=ANSWER_SECS) as client:
        while not ended.wait(PAUSE_SECS):
            with _timed(watch.posts, watch.failures, "post"):
                reply = client.post("/v1/readings", json=body)
                if reply.status_code != HTTPStatus.OK:
                    watch.failures.append(f"post: {reply.text}")


@contextmanager
def _timed(times: list[float], failures: list[str], what: str) -> Iterator[None]:
    began = time.monotonic()
    try:
        yield
    except httpx.HTTPError as exc:
        failures.append(f"{what} after {time.monotonic() - began:.1f} s: {exc!r}")
    times.append(time.monotonic() - began)


async def stored(url: str) -> int:
    """Return how many messages of the swarm are in the database; 0 if that cannot be told now."""
    with suppress(OSError, asyncpg.PostgresError, TimeoutError):
        connection = await asyncpg.connect(url, timeout=10, command_timeout=30)
        try:
            return int(await connection.fetchval(STORED))
        finally:
            await connection.close()
    return 0
