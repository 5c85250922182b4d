"""Purge of dead letters: the table within its days and bytes, each owner within its share. Never touches readings."""

from datetime import timedelta

from gateway.core.settings import DeadLetterSettings
from gateway.telemetry import events
from gateway.timescale.connections.pool import Connection
from gateway.timescale.maintenance import Maintenance
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


def purge(limits: DeadLetterSettings) -> Maintenance:
    """Return what removes what is too old and then what is too much, oldest first; all is counted anew."""

    async def work(connection: Connection) -> None:
        await connection.execute(query("count_dead_letters_anew"))
        await _purge_old(connection, timedelta(days=limits.keep_days))
        await _purge_most(connection, limits.max_bytes)

    return Maintenance("dead_letters.purge", LOCK_KEY, EVERY_SECS, work, events.dead_letter_purge_failed)


def keep_bound(limits: DeadLetterSettings) -> Maintenance:
    """Return what removes what is too much as far as the accounts know."""
    failed = events.dead_letter_purge_failed
    return Maintenance(
        "dead_letters.bound", LOCK_KEY, BOUND_SECS, lambda connection: _purge_most(connection, limits.max_bytes), failed
    )


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
