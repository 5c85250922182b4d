"""Purge of dead letters: the table within its days and bytes. Never touches readings."""

from contextlib import AbstractAsyncContextManager
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
AT_ONCE = 1000
"""Rows one statement removes, so that none holds its locks for long."""


def purging(
    pool: Pool, limits: DeadLetterSettings, *, every_secs: float = EVERY_SECS
) -> AbstractAsyncContextManager[None]:
    """Purge now and then every so many seconds, until the end of the block."""
    return repeating(
        lambda: purge(pool, limits),
        name="dead_letters.purge",
        every_secs=every_secs,
        on_failure=events.dead_letter_purge_failed,
    )


async def purge(pool: Pool, limits: DeadLetterSettings) -> None:
    """Remove what is too old and then what is too much, oldest first, unless another gateway is at it.

    Raises SinkUnavailable, SinkFault; what was removed and counted until then stays removed.
    """

    async def work(connection: Connection) -> None:
        await _purge_old(connection, timedelta(days=limits.keep_days))
        await _purge_most(connection, limits.max_bytes)

    await under_lock(pool, LOCK_KEY, work)


async def _purge_old(connection: Connection, age: timedelta) -> None:
    while letters := await connection.fetchval(query("purge_old_dead_letters"), age, AT_ONCE):
        events.dead_letters_purged("dead_letters.keep_days", letters)


async def _purge_most(connection: Connection, max_bytes: int) -> None:
    excess = await connection.fetchval(query("dead_letter_bytes")) - max_bytes
    while excess > 0:
        row = await connection.fetchrow(query("purge_most_dead_letters"), excess, AT_ONCE)
        if row is None or not row["letters"]:
            return
        events.dead_letters_purged("dead_letters.max_bytes", row["letters"])
        excess -= row["bytes"]
