"""How many devices there are: counted in the database, remembered for a while. Never makes a page wait for long."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import msgspec

from gateway.errors import GatewayError
from gateway.timescale.pool import Pool
from gateway.timescale.queries import query

COUNT_SECS = 2.0
"""Longest wait for a count."""
KEEP_SECS = 10.0
SHARE = 50
"""A count is kept for at least so many times as long as it took: counting takes 2 % of one connection at most."""


class Count(msgspec.Struct, frozen=True):
    """Devices that are registered."""

    total: int
    enabled: int


class Census:
    """The newest count of one worker."""

    def __init__(self, pool: Pool, *, monotonic: Callable[[], float]) -> None:
        self._pool = pool
        self._monotonic = monotonic
        self._known: Count | None = None
        self._until = 0.0
        self._counting = asyncio.Lock()

    async def count(self) -> Count | None:
        """Return the newest count that can be had now, None if there never was one."""
        async with self._counting:  # nobody waits longer than one count: the others find it done
            began = self._monotonic()
            if began >= self._until:
                with suppress(GatewayError, TimeoutError):  # the database's health stands beside it and says why
                    async with asyncio.timeout(COUNT_SECS):
                        self._known = await self._count()
                now = self._monotonic()
                self._until = now + max(KEEP_SECS, SHARE * (now - began))
        return self._known

    async def _count(self) -> Count:
        async with self._pool.connection() as connection:
            row = await connection.fetchrow(query("census"))
        return Count(total=row["total"], enabled=row["enabled"]) if row else Count(0, 0)
