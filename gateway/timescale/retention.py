"""Retention: readings past their days are removed, whole chunks of a hypertable at once. Never a younger one.

A retry of a removed reading is not stored anew: admission refuses what is older than retention.days.
"""

from datetime import timedelta

import asyncpg

from gateway.core.settings import RetentionSettings
from gateway.telemetry import retention_events
from gateway.timescale.chunks import find_room
from gateway.timescale.connections.pool import Connection
from gateway.timescale.maintenance import Maintenance
from gateway.timescale.migrations import database_kind
from gateway.timescale.queries import query

LOCK_KEY = 0x6465_7669_6365_0003
"""Of pg_try_advisory_lock: whoever holds it in a database removes old readings there."""
EVERY_SECS = 3600.0
AT_ONCE = 10_000
"""Rows one statement removes, so that none holds its locks for long."""


def remove_old(limits: RetentionSettings) -> Maintenance:
    """Return what removes what is older than the retention."""
    age = timedelta(days=limits.days)
    return Maintenance(
        "readings.retention", LOCK_KEY, EVERY_SECS, lambda connection: _remove(connection, age), retention_events.failed
    )


async def _remove(connection: Connection, age: timedelta) -> None:
    if await _is_hypertable(connection):
        await _drop_chunks(connection, age)
        return
    while rows := await connection.fetchval(query("delete_old_messages"), age, AT_ONCE):
        retention_events.messages_removed(rows)


async def _drop_chunks(connection: Connection, age: timedelta) -> None:
    """Drop as many at once as can be locked; the oldest first, so that what is left is in one piece."""
    most, chunks = (await find_room(connection)).new, 1
    while chunks and (end := await connection.fetchval(query("oldest_chunks_end"), age, most)):
        try:
            chunks = await connection.fetchval(query("drop_chunks_before"), end)
        except asyncpg.OutOfMemoryError:  # somebody else has the locks
            if most == 1:
                raise
            most //= 2
        else:
            retention_events.chunks_dropped(chunks)


async def _is_hypertable(connection: Connection) -> bool:
    if (await database_kind(connection)).timescale is None:
        return False
    return bool(await connection.fetchval(query("is_hypertable")))
