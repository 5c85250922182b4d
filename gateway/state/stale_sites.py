"""Stale sites: what was derived from lines of history that nobody uses any more goes from Redis, little by little.

A failover or a restore begins a new line, and with it new keys; without this the old ones would stay for good.
"""

from typing import Any

import redis.asyncio as redis

from gateway.state.client import translated

KEY = b"gateway/sites"
UNUSED_SECS = 60
"""A gateway that lives uses its site every second."""
LOOKED_AT = 1_000
"""Keys that one call looks at: it holds the server up for a millisecond."""
CALLS = 50
"""Calls of one `tidy`."""


class Sites:
    """Keeps account of which sites are used."""

    def __init__(self, client: "redis.Redis", source: str) -> None:
        """`source` is the script sites.lua."""
        self._client: Any = client
        self._script = client.register_script(source)
        self._cursor = 0

    async def tidy(self, site: str) -> None:
        """Note that this site is in use, and remove some keys of one that is not. Raises StateUnavailable."""
        async with translated():
            unused = await self._script(keys=[KEY], args=[site, UNUSED_SECS])
            if unused is not None:
                await self._remove(unused)

    async def _remove(self, site: bytes) -> None:
        for _ in range(CALLS):
            self._cursor, keys = await self._client.scan(self._cursor, match=b"gateway:%s[:/]*" % site, count=LOOKED_AT)
            if keys:
                await self._client.unlink(*keys)
            if not self._cursor:
                await self._client.zrem(KEY, site)
                return
