"""The poll of the registry's revision. In: the counter. Out: what changed, for the caches. Never judges a change.

The counter's row lock makes revisions commit in order (sql/migrations/0001_schema.sql), so reading n first
and then all rows beyond the n before misses nothing.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple, NoReturn

import asyncpg

from gateway.core.errors import GatewayError, SinkFault, SinkUnavailable
from gateway.core.timestamps import to_us
from gateway.domain.principal import Grant, Principal, Role
from gateway.timescale.connections.pool import Connection, Pool
from gateway.timescale.queries import query

MAX_CHANGES = 10_000
"""Changes fetched one by one; more of them are told as "everything"."""
_POLL_TIMEOUT_SECS = 5.0


class RevisionCursor(NamedTuple):
    """Up to where a follower has read, and in which database."""

    installation: str
    n: int
    epoch: int
    """Of `lineage`: in another one all may have changed, whatever the number says."""


class Changes(NamedTuple):
    """What changed since; None means: everything may have."""

    credentials: Mapping[bytes, Grant | None] | None
    """Digest → what the token stands for now."""
    devices: Collection[str] | None
    declared_ints: Collection[str]
    """Not the changes: all of them."""


@asynccontextmanager
async def locked_registry(pool: Pool) -> AsyncIterator[Connection]:
    """Lend a connection in a transaction that may change the registry: one at a time, so that no two can deadlock."""
    async with pool.connection() as connection, connection.transaction():
        await connection.execute(query("lock_registry"))
        yield connection


async def follow(
    pool: Pool,
    *,
    every_ms: int,
    on_credentials: Callable[[Mapping[bytes, Grant | None] | None], None],
    on_devices: Callable[[Collection[str] | None], None],
    on_declared_ints: Callable[[Collection[str]], None],
    on_trouble: Callable[[GatewayError | None], None],
    on_heard: Callable[[], None] = lambda: None,
) -> NoReturn:
    """Tell each change once, at most `every_ms` + one round trip after its COMMIT. Runs until cancelled.

    The first poll tells everything, and so does one that finds another database. None as an argument means everything.
    While the database is away nothing is told, what was cached stays in use, and the next poll that succeeds tells all
    that was missed. `on_trouble` hears the error when polls begin to fail, and None when they succeed again; `on_heard`
    hears of every poll that succeeds, after its changes.

    Give it a pool of its own with one connection: behind slow reads a revocation would come late.
    """
    seen: RevisionCursor | None = None
    failing = False
    while True:
        try:
            seen, changes = await _poll(pool, seen)
        except (SinkUnavailable, SinkFault) as exc:
            if not failing:
                on_trouble(exc)
            failing = True
        else:
            if failing:
                on_trouble(None)
            failing = False
            if changes is not None:
                on_credentials(changes.credentials)
                on_devices(changes.devices)
                on_declared_ints(changes.declared_ints)
            on_heard()
        await asyncio.sleep(every_ms / 1000)


async def _poll(pool: Pool, seen: RevisionCursor | None) -> tuple[RevisionCursor, Changes | None]:
    try:
        async with asyncio.timeout(_POLL_TIMEOUT_SECS), pool.connection() as connection:
            row = await connection.fetchrow(query("registry_revision"))
            if row is None:
                raise SinkFault("the table registry_revision or installation is empty; each holds one row")
            now = RevisionCursor(row["installation"], row["n"], pool.lineage.epoch)
            return now, None if now == seen else await _changes(connection, seen, now)
    except TimeoutError as exc:
        raise SinkUnavailable from exc


async def _changes(connection: Connection, seen: RevisionCursor | None, now: RevisionCursor) -> Changes:
    ints = [row["name"] for row in await connection.fetch(query("declared_ints"))]
    if seen is None or (seen.installation, seen.epoch) != (now.installation, now.epoch) or seen.n > now.n:
        return Changes(None, None, ints)
    digests = await connection.fetch(query("changed_credentials"), seen.n, MAX_CHANGES + 1)
    names = await connection.fetch(query("changed_devices"), seen.n, MAX_CHANGES + 1)
    return Changes(
        None if len(digests) > MAX_CHANGES else {row["digest"]: _to_grant(row) for row in digests},
        None if len(names) > MAX_CHANGES else [row["name"] for row in names],
        ints,
    )


def to_grant(row: asyncpg.Record) -> Grant:
    """Return what a credential stands for; its expiry is not looked at."""
    expires = row["expires_at"]
    principal = Principal(Role(row["role"]), row["device"], row["prefix"], row["id"])
    return Grant(principal, None if expires is None else to_us(expires))


def _to_grant(row: asyncpg.Record) -> Grant | None:
    return None if row["id"] is None else to_grant(row)
