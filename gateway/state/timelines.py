"""Watermarks in Redis or Valkey: what every gateway knows of the database's clusters. One round trip a call."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import redis.asyncio as redis

from gateway.core import settings
from gateway.domain.timelines import Watermark
from gateway.state.client import open_client, translated
from gateway.state.store import script

KEYS = b"gateway/timelines", b"gateway/log-ends"


class RedisWatermarks:
    """Watermarks kept beside the state, and lost with it; `connections.timelines` keeps them on disk."""

    def __init__(self, client: "redis.Redis") -> None:
        self._script = client.register_script(script("watermarks"))

    async def merge(self, key: str, watermark: Watermark) -> Watermark:
        """See `WatermarkStore`. Raises StateUnavailable."""
        async with translated():
            return Watermark(*map(int, await self._script(keys=KEYS, args=[key, *watermark])))


@asynccontextmanager
async def open_watermarks(branch: settings.RedisSettings) -> AsyncIterator[RedisWatermarks]:
    """Open them; nothing is connected yet on return. Raises SettingsError."""
    secs = branch.timeout_secs
    async with open_client(branch.url, name="device-gateway-marks", wait_secs=secs, connect_secs=secs) as client:
        yield RedisWatermarks(client)
