"""Maintenance that one process at a time does in a database, under an advisory lock of PostgreSQL."""

from collections.abc import Awaitable, Callable

from gateway.timescale.connections.pool import Connection, Pool
from gateway.timescale.queries import query


async def under_lock(pool: Pool, key: int, work: Callable[[Connection], Awaitable[None]]) -> None:
    """Do the work on a connection, or nothing while another process holds the lock. Never waits for it.

    Raises SinkUnavailable, SinkFault, also for the work's errors, as a pool translates them.
    """
    async with pool.connection() as connection:
        if await connection.fetchval(query("try_lock"), key):  # the pool releases it with the connection
            await work(connection)
