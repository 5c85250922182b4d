"""Whether this worker may take traffic, part by part: what /readyz shows. Asks each part, waits a bounded time."""

import asyncio
from collections.abc import Mapping

from gateway.errors import GatewayError
from gateway.mqtt.consumer import Consumer
from gateway.pipeline.committer import Committer
from gateway.state.publisher import Publisher
from gateway.state.store import RedisState
from gateway.timescale.installation import probe
from gateway.timescale.pool import Pool
from gateway.web.context import Health

PROBE_SECS = 2.0
"""Longest wait for one part."""

Part = Mapping[str, object]


class Monitor:
    """Knows the parts of one worker."""

    def __init__(
        self,
        pool: Pool,
        state: RedisState,
        *,
        committer: Committer,
        publisher: Publisher,
        consumer: Consumer | None,
    ) -> None:
        self._pool = pool
        self._state = state
        self._committer = committer
        self._publisher = publisher
        self._consumer = consumer

    async def health(self) -> Health:
        """Ask all parts. Without the database no traffic must come; without Redis or MQTT the rest still works."""
        database, redis = await asyncio.gather(self._database(), self._redis())
        parts = {"database": database, "redis": redis, "mqtt": self._mqtt(), "queue": self._queue()}
        return Health(bool(database["ok"]), parts)

    async def _database(self) -> Part:
        try:
            async with asyncio.timeout(PROBE_SECS):
                ground = await probe(self._pool)
        except (GatewayError, TimeoutError) as exc:
            return {"ok": False, "error": _said(exc)}
        return {"ok": True, "ground": ground.kind, "postgres": ground.postgres, "timescaledb": ground.timescale}

    async def _redis(self) -> Part:
        try:
            async with asyncio.timeout(PROBE_SECS):
                await self._state.ping()
        except (GatewayError, TimeoutError) as exc:
            return {"ok": False, "error": _said(exc), "behind_rows": self._publisher.behind}
        return {"ok": self._publisher.healthy, "behind_rows": self._publisher.behind}

    def _mqtt(self) -> Part:
        if self._consumer is None:
            return {"ok": True, "consumes": False}
        connected = self._consumer.connected
        return {"ok": connected, "consumes": True, "connected": connected, "error": self._consumer.last_error}

    def _queue(self) -> Part:
        batcher = self._committer.batcher
        return {"ok": True, "rows": batcher.rows, "bytes": batcher.size, "in_hand_rows": self._committer.in_hand}


def _said(exc: Exception) -> str:
    return exc.message if isinstance(exc, GatewayError) else f"no answer within {PROBE_SECS} s"
