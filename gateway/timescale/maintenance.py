"""Maintenance that one process at a time does in a database, now and then, under an advisory lock of PostgreSQL."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple

from gateway.telemetry.periodic import repeating
from gateway.timescale.connections.pool import Connection, Pool
from gateway.timescale.queries import query


class Maintenance(NamedTuple):
    """One kind of work; `lock_key` is of pg_try_advisory_lock."""

    name: str
    lock_key: int
    every_secs: float
    work: Callable[[Connection], Awaitable[None]]
    on_failure: Callable[[Exception], None]

    async def once(self, pool: Pool) -> None:
        """Do the work on a connection, or nothing while another process holds the lock. Never waits for it.

        Raises SinkUnavailable, SinkFault, also for the work's errors, as a pool translates them; what was done and
        counted until then stays done.
        """
        async with pool.connection() as connection:
            if await connection.fetchval(query("try_lock"), self.lock_key):  # the pool releases it with the connection
                await self.work(connection)

    def repeated(self, pool: Pool) -> AbstractAsyncContextManager[None]:
        """Do it again and again, until the end of the block; what fails is told, and tried again the next time."""
        return repeating(
            lambda: self.once(pool), name=self.name, every_secs=self.every_secs, on_failure=self.on_failure
        )
