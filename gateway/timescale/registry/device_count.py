"""The number of devices, and of silent ones: counted in the database, kept for a while, never waited on."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import msgspec

from gateway.core.clock import Clock
from gateway.core.durations import SECOND_US
from gateway.core.errors import GatewayError
from gateway.core.timestamps import to_datetime
from gateway.timescale.connections.pool import Pool
from gateway.timescale.queries import query

COUNT_SECS = 2.0
"""Longest wait for a count."""
KEEP_SECS = 10.0
SHARE = 50
"""A count is kept for at least so many times as long as it took: counting takes 2 % of one connection at most."""


class DeviceCount(msgspec.Struct, frozen=True):
    """Devices that are registered."""

    total: int
    enabled: int
    offline: int | None = None
    """Enabled ones without a reading of the last `devices.offline_after_secs`; None if it takes too long to count."""


class DeviceCounter:
    """The newest count of one worker."""

    def __init__(
        self, pool: Pool, *, clock: Clock, monotonic: Callable[[], float], offline_after_secs: int = 900
    ) -> None:
        self._pool = pool
        self._clock = clock
        self._silent_us = offline_after_secs * SECOND_US
        self._monotonic = monotonic
        self._known: DeviceCount | None = None
        self._until = 0.0
        self._counting = asyncio.Lock()

    async def count(self) -> DeviceCount | None:
        """Return the newest count that can be had now, None if there never was one."""
        async with self._counting:  # nobody waits longer than one count: the others find it done
            began = self._monotonic()
            if began >= self._until:
                with suppress(GatewayError, TimeoutError):  # the database's health stands beside it and says why
                    async with asyncio.timeout(COUNT_SECS):
                        self._known = await self._count()
                        self._known = msgspec.structs.replace(self._known, offline=await self._count_silent())
                now = self._monotonic()
                self._until = now + max(KEEP_SECS, SHARE * (now - began))
        return self._known

    async def _count(self) -> DeviceCount:
        async with self._pool.connection() as connection:
            row = await connection.fetchrow(query("census"))
        return DeviceCount(total=row["total"], enabled=row["enabled"]) if row else DeviceCount(0, 0)

    async def _count_silent(self) -> int:
        after = to_datetime(self._clock.now_us() - self._silent_us)
        async with self._pool.connection() as connection, connection.transaction(readonly=True):
            await connection.execute(query("plan_anew"))
            return int(await connection.fetchval(query("count_silent"), after))
