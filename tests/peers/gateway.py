"""This gateway as a target: one worker, everything switched on, on TimescaleDB, Valkey and mosquitto of the run."""

import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from gateway.app.dev_servers.child_process import Child
from gateway.app.dev_servers.ports import free_port
from tests.peers import databases
from tests.peers.target import HOST, PROGRAM, Target, answers
from tests.peers.works import Door, Format

READY_SECS = 60.0
DATABASE = "peers_gateway"
_COUNT = "sum(coalesce(cardinality(values), 0) + coalesce(cardinality(ints), 0) + coalesce(cardinality(texts), 0))"
_STORED = f"""
select a.name, coalesce({_COUNT}, 0)::int8 as readings from unnest($1::text[], $2::timestamptz[]) a(name, until)
left join devices d on d.name = a.name
left join messages m on m.device_id = d.id and m.time < a.until group by a.name"""


class Servers(NamedTuple):
    """What the gateway stands on, by URL."""

    database: str
    """Of the server: the gateway has a database of its own there."""
    redis: str
    broker: str


class GatewayTarget(Target):
    """The gateway of this checkout."""

    name = "gateway"
    title = "this gateway"
    promise = "COMMIT, fsynced; over MQTT: the broker has it, and the gateway acknowledges to that after COMMIT"

    def __init__(self, servers: Servers, folder: Path) -> None:
        self._servers = servers
        databases.make(servers.database, DATABASE)
        self._database = databases.within(servers.database, DATABASE)
        self._port, self._key = free_port(), secrets.token_urlsafe(24)
        settings = {
            "GATEWAY_DATABASE__URL": self._database,
            "GATEWAY_REDIS__URL": servers.redis,
            "GATEWAY_MQTT__URL": servers.broker,
            "GATEWAY_HTTP__PORT": str(self._port),
            "GATEWAY_AUTH__ADMIN_KEY": self._key,
            "GATEWAY_DEVICES__UNKNOWN": "auto",
            "GATEWAY_SPOOL__DIR": str(folder / "spool"),
        }
        command = [sys.executable, "-m", "gateway", "serve"]
        self._child = Child("the gateway", command, log=folder / "gateway.log", env=os.environ | settings)

    def door(self, work: str) -> Door | None:
        if work == "W4":
            return Door(urlsplit(self._servers.broker).port or 1883, "mqtt", topic="devices/{device}/readings")
        layout: Format = "nested" if work == "W2" else "messages"
        return Door(self._port, layout, path="/v1/readings", authorization=f"Bearer {self._key}")

    def start(self) -> None:
        self._child.start(lambda: answers(f"http://{HOST}:{self._port}/readyz"), timeout=READY_SECS)

    def stop(self) -> None:
        self._child.stop()

    def kill(self) -> None:
        self._child.kill()

    def clear(self) -> None:
        databases.ask(self._database, "truncate messages")

    def readings(self) -> int:
        return int(databases.ask(self._database, f"select coalesce({_COUNT}, 0) from messages")[0][0])

    def stored(self, ends: Mapping[str, int], metrics: int) -> dict[str, int]:  # noqa: ARG002 -- a row knows how many
        rows = databases.ask(self._database, _STORED, *databases.bounds(ends))
        return {row["name"]: row["readings"] for row in rows}

    def parts(self, work: str) -> dict[str, int]:
        database, redis, broker = (urlsplit(url).port or 0 for url in self._servers)
        found = {PROGRAM: self._port, "database": database, "redis": redis}
        return found | {"broker": broker} if work == "W4" else found

    def settle(self) -> None:
        databases.ask(self._database, "checkpoint")
