"""In: how long readings are kept. Out: older ones removed, whole chunks of a hypertable at once. Never a younger one.

A retry of a removed reading is not stored anew: admission refuses what is older than retention.days.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from gateway.settings import Retention
from gateway.telemetry import retention_events
from gateway.timescale.migrations import ground
from gateway.timescale.pool import Connection, Pool
from gateway.timescale.queries import query

LOCK_KEY = 0x6465_7669_6365_0003
"""Of pg_try_advisory_lock: whoever holds it in a database removes old readings there."""
EVERY_SECS = 3600.0
AT_ONCE = 10_000
"""Rows one statement removes, so that none holds its locks for long."""


@asynccontextmanager
async def retaining(pool: Pool, limits: Retention, *, every_secs: float = EVERY_SECS) -> AsyncIterator[None]:
    """Remove old readings now and then every so many seconds, until the end of the block."""
    task = asyncio.create_task(_keep_removing(pool, limits, every_secs=every_secs), name="readings.retention")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _keep_removing(pool: Pool, limits: Retention, *, every_secs: float) -> None:
    """Remove for ever: a round that fails is said, and is due again next time."""
    while True:
        try:
            await remove_old(pool, limits)
        except Exception as exc:  # noqa: BLE001 - not even a mistake of ours may end it: the table would only grow
            retention_events.failed(exc)
        await asyncio.sleep(every_secs)


async def remove_old(pool: Pool, limits: Retention) -> None:
    """Remove what is older than the retention, unless another gateway is at it.

    Raises SinkUnavailable, SinkFault; what was removed and counted until then stays removed.
    """
    age = timedelta(days=limits.days)
    async with pool.connection() as connection:
        # Released by the pool when it takes the connection back, whatever happens here.
        if not await connection.fetchval(query("try_retention_lock"), LOCK_KEY):
            return
        if await _is_hypertable(connection):
            if chunks := await connection.fetchval(query("drop_old_chunks"), age):
                retention_events.chunks_dropped(chunks)
            return
        while rows := await connection.fetchval(query("delete_old_messages"), age, AT_ONCE):
            retention_events.messages_removed(rows)


async def _is_hypertable(connection: Connection) -> bool:
    if (await ground(connection)).timescale is None:
        return False
    return bool(await connection.fetchval(query("is_hypertable")))
