"""In: how long and how many bytes of dead letters are kept. Out: the table within both. Never touches readings."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from gateway.settings import DeadLetters
from gateway.telemetry import events
from gateway.timescale.pool import Connection, Pool
from gateway.timescale.queries import query

LOCK_KEY = 0x6465_7669_6365_0002
"""Of pg_try_advisory_lock: whoever holds it in a database removes old dead letters there."""
EVERY_SECS = 600.0
AT_ONCE = 1000
"""Rows one statement removes, so that none holds its locks for long."""


@asynccontextmanager
async def purging(pool: Pool, limits: DeadLetters, *, every_secs: float = EVERY_SECS) -> AsyncIterator[None]:
    """Purge now and then every so many seconds, until the end of the block."""
    task = asyncio.create_task(_keep_within(pool, limits, every_secs=every_secs), name="dead_letters.purge")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _keep_within(pool: Pool, limits: DeadLetters, *, every_secs: float) -> None:
    """Purge for ever: one that fails is said, and is due again next time."""
    while True:
        try:
            await purge(pool, limits)
        except Exception as exc:  # noqa: BLE001 - not even a mistake of ours may end it: the table would only grow
            events.letter_purge_failed(exc)
        await asyncio.sleep(every_secs)


async def purge(pool: Pool, limits: DeadLetters) -> None:
    """Remove what is too old and then what is too much, oldest first, unless another gateway is at it.

    Raises SinkUnavailable, SinkFault; what was removed and counted until then stays removed.
    """
    async with pool.connection() as connection:
        # Released by the pool when it takes the connection back, whatever happens here.
        if await connection.fetchval(query("try_purge_lock"), LOCK_KEY):
            await _purge_old(connection, timedelta(days=limits.keep_days))
            await _purge_most(connection, limits.max_bytes)


async def _purge_old(connection: Connection, age: timedelta) -> None:
    while letters := await connection.fetchval(query("purge_old_dead_letters"), age, AT_ONCE):
        events.letters_purged("dead_letters.keep_days", letters)


async def _purge_most(connection: Connection, max_bytes: int) -> None:
    excess = await connection.fetchval(query("dead_letter_bytes")) - max_bytes
    while excess > 0:
        row = await connection.fetchrow(query("purge_most_dead_letters"), excess, AT_ONCE)
        if row is None or not row["letters"]:
            return
        events.letters_purged("dead_letters.max_bytes", row["letters"])
        excess -= row["bytes"]
