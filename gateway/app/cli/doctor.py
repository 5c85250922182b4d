"""`gateway doctor`: asks each server what it is and whether it is set up for this work. Leaves nothing behind."""

import asyncio
import time
from collections.abc import Awaitable
from statistics import median
from typing import NamedTuple
from uuid import uuid4

from gateway.app.cli.doctor_servers import room, servers
from gateway.app.pools import command_pool
from gateway.core.errors import GatewayError, SettingsError, SinkFault, SinkUnavailable
from gateway.core.settings import Settings
from gateway.ingest.pipeline.breaker import reason
from gateway.mqtt.address import parse_address
from gateway.mqtt.connection import BrokerConnection, BrokerError
from gateway.mqtt.topics import parse_topic
from gateway.state.change_log import LOG_SHARE
from gateway.state.idempotency import MEMORY_SHARE
from gateway.state.rebuilder import EVICTS
from gateway.state.store import open_state
from gateway.timescale import migrations
from gateway.timescale.connections.pool import Connection
from gateway.timescale.server import probe
from gateway.timescale.write.probe import rehearse

SECS = 10.0
"""Longest examination of one part."""
COMMITS = 20
"""COMMITs that are timed."""
SLOW_MILLIS = 20.0
MIN_WAL_BYTES = 4 * 2**30
NO_TIMESCALE = (
    "without TimescaleDB readings older than retention.days are deleted row by row, not by chunks;"
    " to have it, create the extension before the first 'gateway migrate'"
)
WAYS_OUT = {
    "database": "check database.url (host, port, user, password, database) and whether the server lets this machine in;"
    " until it answers, readings go to the spool",
    "redis": "check redis.url and whether the server lets this machine in; until it answers, the newest state is read"
    " from the database",
    "mqtt": "check mqtt.url, mqtt.ca_file and what the broker lets this user do; until it answers, MQTT messages wait"
    " at the broker",
}
"""What to look at when a part cannot be used, and what its absence means."""


VOLATILE = (
    "when its memory is full it drops what has a time to live, and no newest state: answers to idempotency keys, the"
    " log of live changes, the progress of a rebuild"
)


class Finding(NamedTuple):
    """One thing that was looked at."""

    part: str
    ok: bool
    sentence: str


async def examine(settings: Settings) -> list[Finding]:
    """Look at the database, Redis and the broker's address."""
    findings = await _guarded("database", _told("database", servers(settings)))
    findings += await _guarded("database", _database(settings))
    if any(finding.part == "schema" for finding in findings):
        findings += await _guarded("database", _told("database", room(settings)))
    findings += await _guarded("redis", _redis(settings))
    if settings.mqtt.url:
        findings += await _guarded("mqtt", _mqtt(settings))
    else:
        findings.append(Finding("mqtt", ok=True, sentence="off: mqtt.url is empty"))
    return list(dict.fromkeys(findings))  # a URL that cannot be meant is said once


async def _guarded(part: str, look: Awaitable[list[Finding]]) -> list[Finding]:
    try:
        async with asyncio.timeout(SECS):
            return await look
    except TimeoutError:
        return [Finding(part, ok=False, sentence=f"no answer within {SECS:.0f} s; {WAYS_OUT[part]}")]
    except SettingsError as exc:  # the database is asked with the help of Redis: the sentence begins with whose it is
        whose = exc.message.partition(".")[0]
        return [Finding(whose if whose in WAYS_OUT else part, ok=False, sentence=exc.message)]
    except (GatewayError, BrokerError) as exc:
        return [Finding(part, ok=False, sentence=_say(part, exc))]


def _say(part: str, exc: GatewayError | BrokerError) -> str:
    """Say what is wrong in the server's words, or in ours where ours say what to do."""
    cause = exc.__cause__
    if isinstance(exc, GatewayError) and cause is None:
        return exc.message
    what = exc if isinstance(exc, BrokerError) else cause
    return f"cannot be used: {str(what) or type(what).__name__}; {WAYS_OUT[part]}"


async def _told(part: str, said: Awaitable[list[tuple[bool, str]]]) -> list[Finding]:
    return [Finding(part, ok, sentence) for ok, sentence in await said]


async def _database(settings: Settings) -> list[Finding]:
    database = settings.database
    async with command_pool(settings, "gateway doctor") as pool:
        ground = await probe(pool)
        known = f"{ground.kind}, PostgreSQL {ground.postgres}, TimescaleDB {ground.timescale or 'none'}"
        async with pool.connection() as connection:
            facts = {
                name: await connection.fetchval("select current_setting($1)", name)
                for name in ("fsync", "full_page_writes", "synchronous_commit", "transaction_read_only")
            }
            wal = await connection.fetchval("select pg_size_bytes(current_setting('max_wal_size'))")
            if facts["transaction_read_only"] == "off":
                known += _speed(await _commit_millis(connection))
        findings = [Finding("database", ok=True, sentence=known)]
        if ground.timescale is None:
            findings.append(Finding("database", ok=True, sentence=NO_TIMESCALE))
        findings += _judge(facts, wal)
    pending = await migrations.migrate(
        database.url, chunk_hours=database.chunk_hours, plan_only=True, connect_timeout=database.connect_timeout_secs
    )
    words = "the schema is up to date"
    if pending:
        words = f"{len(pending)} migrations pending: run 'gateway migrate', or 'gateway serve', which begins with it"
    findings.append(Finding("schema", ok=not pending, sentence=words))
    if not pending and facts["transaction_read_only"] == "off":
        findings.append(await _writing(settings))
    return findings


async def _writing(settings: Settings) -> Finding:
    """Write into every table as the gateway does, and roll it back."""
    devices = settings.devices
    try:
        await rehearse(
            settings.database, overwrite=devices.conflict == "overwrite", make_devices=devices.unknown == "auto"
        )
    except (SinkUnavailable, SinkFault) as exc:
        words = f"nothing can be stored: {reason(exc)}; until then readings go to the spool"
        return Finding("writing", ok=False, sentence=words)
    return Finding("writing", ok=True, sentence="a reading can be stored (tried, and rolled back)")


async def _commit_millis(connection: Connection) -> float:
    """Return the median time of COMMITs that write next to nothing: mostly the fsync of the server's disk."""
    took = []
    for _ in range(COMMITS):
        began = time.perf_counter()
        await connection.execute("select pg_logical_emit_message(true, 'gateway doctor', '')")  # leaves no trace
        took.append(time.perf_counter() - began)
    return median(took) * 1000


def _speed(millis: float) -> str:
    words = f"; a COMMIT takes {millis:.1f} ms"
    if millis > SLOW_MILLIS:
        words += (
            ", and each answer waits for one: put pg_wal on a disk with a fast fsync (one with power-loss protection);"
            " do not turn fsync or synchronous_commit off for it"
        )
    return words


def _judge(facts: dict[str, str], wal_bytes: int) -> list[Finding]:
    """Say what of the server's settings breaks the promise, and what slows it down."""
    risky = [name for name in ("fsync", "full_page_writes", "synchronous_commit") if facts[name] == "off"]
    findings = [
        Finding(
            "database",
            ok=False,
            sentence=f"{name} is off: readings that were answered 200 can be lost in a crash; set it to on",
        )
        for name in risky
    ]
    if facts["transaction_read_only"] == "on":
        findings.append(Finding("database", ok=False, sentence="it is read-only (a standby?): connect to the primary"))
    if wal_bytes < MIN_WAL_BYTES:
        words = (
            f"max_wal_size is {wal_bytes / 2**30:.1f} GiB: checkpoints will be frequent under load, and slow commits;"
            " set it to 4GB or more"
        )
        findings.append(Finding("database", ok=True, sentence=words))
    return findings


async def _redis(settings: Settings) -> list[Finding]:
    async with open_state(settings.redis, site="doctor") as state:
        server = await state.server()
    words = f"{server.name}, maxmemory-policy {server.policy}"
    if server.evicts:
        words += f": {EVICTS}"
    elif server.policy.startswith("volatile"):
        words += f": {VOLATILE}"
    return [Finding("redis", ok=not server.evicts, sentence=words), *_shares(settings, server.maxmemory)]


def _shares(settings: Settings, maxmemory: int) -> list[Finding]:
    """Say what of the settings a small server cuts down, so that the newest state has the rest."""
    bounds = (
        ("http.idempotency_bytes", settings.http.idempotency_bytes, maxmemory // MEMORY_SHARE),
        ("live.replay_bytes", settings.live.replay_bytes, maxmemory // LOG_SHARE),
    )
    return [
        Finding(
            "redis",
            ok=True,
            sentence=f"its maxmemory lets {most / 2**20:.1f} MiB of {name} ({wanted / 2**20:.1f} MiB) be used: the rest"
            " is for the newest state; raise maxmemory if that is too little",
        )
        for name, wanted, most in bounds
        if maxmemory and most < wanted
    ]


async def _mqtt(settings: Settings) -> list[Finding]:
    """Connect and subscribe as the gateway does, but apart from its session and its share of the messages.

    Under a name that nobody had: a broker may keep the session of an earlier examination, with a message in hand.
    """
    subscription = parse_topic(settings.mqtt.topic, share="", receipts=settings.mqtt.receipts).subscription
    link = BrokerConnection(
        parse_address(settings.mqtt.url, ca_file=settings.mqtt.ca_file),
        lambda _message: None,
        client_id=f"{settings.mqtt.client_id}-doctor-{uuid4().hex[:8]}",
        receive_max=1,
        session_expiry_secs=0,
    )
    await link.open(subscription)
    await link.farewell()
    return [Finding("mqtt", ok=True, sentence=f"subscribes to {subscription} with QoS 1")]
