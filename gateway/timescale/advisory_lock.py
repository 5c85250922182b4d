"""An advisory lock. In: a pool and a key. Out: a connection, to one process at a time. Never waits for the key."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.timescale.connections.pool import Connection, Pool
from gateway.timescale.queries import query


@asynccontextmanager
async def alone(pool: Pool, key: int) -> AsyncIterator["Connection | None"]:
    """Lend a connection, or None while another process has the key, which is an advisory lock of PostgreSQL.

    Raises SinkUnavailable, SinkFault; errors inside the block are translated as those of a pool.
    """
    async with pool.connection() as connection:
        # Released by the pool when it takes the connection back, whatever happens here.
        yield connection if await connection.fetchval(query("try_lock"), key) else None
