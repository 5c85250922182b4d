"""Purge of dead letters: the table within its days and bytes, each owner within its share. Never touches readings."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from gateway.core.settings import DeadLetterSettings
from gateway.telemetry import events
from gateway.telemetry.periodic import repeating
from gateway.timescale.connections.pool import Connection, Pool
from gateway.timescale.maintenance import under_lock
from gateway.timescale.queries import query

LOCK_KEY = 0x6465_7669_6365_0002
"""Of pg_try_advisory_lock: whoever holds it in a database removes old dead letters there."""
EVERY_SECS = 600.0
BOUND_SECS = 10.0
"""How often it is looked at how many bytes there are, whoever has put them there."""
AT_ONCE = 1000
"""Rows one statement removes, so that none holds its locks for long."""
SLACK_PART = 16
"""What is removed of a full share besides what is too much, as a part of it: else each letter would remove one."""


@asynccontextmanager
async def purging(pool: Pool, limits: DeadLetterSettings, *, every_secs: float = EVERY_SECS) -> AsyncIterator[None]:
    """Purge now and then every so many seconds, and keep the bound meanwhile, until the end of the block."""
    failed = events.dead_letter_purge_failed
    async with (
        repeating(lambda: purge(pool, limits), name="dead_letters.purge", every_secs=every_secs, on_failure=failed),
        repeating(
            lambda: keep_bound(pool, limits), name="dead_letters.bound", every_secs=BOUND_SECS, on_failure=failed
        ),
    ):
        yield


async def purge(pool: Pool, limits: DeadLetterSettings) -> None:
    """Remove what is too old and then what is too much, oldest first, unless another gateway is at it.

    How much there is is counted anew. Raises SinkUnavailable, SinkFault; what was removed and counted until then stays
    removed.
    """

    async def work(connection: Connection) -> None:
        await connection.execute(query("count_dead_letters_anew"))
        await _purge_old(connection, timedelta(days=limits.keep_days))
        await _purge_most(connection, limits.max_bytes)

    await under_lock(pool, LOCK_KEY, work)


async def keep_bound(pool: Pool, limits: DeadLetterSettings) -> None:
    """Remove what is too much as far as the accounts know, unless somebody is at it. Raises as `purge`."""
    await under_lock(pool, LOCK_KEY, lambda connection: _purge_most(connection, limits.max_bytes))


async def keep_share(connection: Connection, owner: str, size: int, *, share: int) -> None:
    """Remove the oldest letters of an owner that has so many bytes, which are too many. Raises DATABASE_ERRORS."""
    await _trim(connection, owner, size - share + share // SLACK_PART, limit="dead_letters.device_bytes")


async def _purge_old(connection: Connection, age: timedelta) -> None:
    while letters := await connection.fetchval(query("purge_old_dead_letters"), age, AT_ONCE):
        events.dead_letters_purged("dead_letters.keep_days", letters)


async def _purge_most(connection: Connection, max_bytes: int) -> None:
    """Remove the oldest of whoever has most, again and again: nobody who has little loses any by it."""
    while (excess := await connection.fetchval(query("dead_letter_bytes")) - max_bytes) > 0:
        owner = await connection.fetchval(query("heaviest_dead_letter_owner"))
        if not await _trim(connection, owner, excess, limit="dead_letters.max_bytes", rounds=1):
            return


async def _trim(connection: Connection, owner: str, excess: int, *, limit: str, rounds: int = 2**31) -> bool:
    """Return whether there was anything to remove."""
    for _ in range(rounds):
        row = await connection.fetchrow(query("trim_dead_letters"), owner, excess, AT_ONCE)
        if row is None or not row["letters"]:
            return False
        events.dead_letters_purged(limit, row["letters"])
        excess -= row["bytes"]
        if excess <= 0:
            break
    return True
