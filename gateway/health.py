"""Whether this worker may take traffic, part by part: what /readyz shows. Asks each part, waits a bounded time."""

import asyncio
from collections.abc import Callable, Mapping

from gateway.errors import GatewayError
from gateway.mqtt.consumer import Consumer
from gateway.pipeline.breaker import Breaker
from gateway.pipeline.committer import Committer
from gateway.pipeline.drainer import Drainer
from gateway.pipeline.stall import Stall
from gateway.state.keeper import Keeper
from gateway.state.publisher import Publisher
from gateway.state.store import RedisState
from gateway.timescale.installation import probe
from gateway.timescale.pool import Pool
from gateway.web.parts import Health

SPOOL_MARGIN_BYTES = 2**20
"""A spool with less room than this takes no more traffic."""
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
        breaker: Breaker,
        drainer: Drainer,
        stall: Stall,
        committer: Committer,
        publisher: Publisher,
        keeper: Keeper,
        consumer: Consumer | None,
        room: Callable[[], int],
    ) -> None:
        self._breaker = breaker
        self._drainer = drainer
        self._stall = stall
        self._room = room
        self._pool = pool
        self._state = state
        self._committer = committer
        self._publisher = publisher
        self._keeper = keeper
        self._consumer = consumer

    async def health(self) -> Health:
        """Ask all parts. Traffic may come as long as readings can be made durable: in the database, or in the spool."""
        database, redis = await asyncio.gather(self._database(), self._redis())
        spool = self._spooled()
        parts = {
            "database": database,
            "redis": redis,
            "mqtt": self._mqtt(),
            "queue": self._queue(),
            "spool": spool,
        }
        durable = bool(database["ok"] or spool["ok"])
        return Health(durable and not self._stall.secs, parts)

    def _spooled(self) -> Part:
        waiting = self._drainer.waiting()
        room = self._room()
        facts = {"rows": waiting.rows, "bytes": waiting.size, "room_bytes": room}
        return {"ok": room > SPOOL_MARGIN_BYTES, **facts, "error": waiting.error or None}

    async def _database(self) -> Part:
        if self._breaker.is_open:
            return {"ok": False, "error": self._breaker.error}
        try:
            async with asyncio.timeout(PROBE_SECS):
                ground = await probe(self._pool)
        except (GatewayError, TimeoutError) as exc:
            return {"ok": False, "error": _said(exc)}
        return {"ok": True, "ground": ground.kind, "postgres": ground.postgres, "timescaledb": ground.timescale}

    async def _redis(self) -> Part:
        facts = {"behind_rows": self._publisher.behind, **self._keeper.facts()}
        try:
            async with asyncio.timeout(PROBE_SECS):
                await self._state.ping()
        except (GatewayError, TimeoutError) as exc:
            return {"ok": False, "error": _said(exc), **facts}
        return {"ok": self._publisher.healthy and bool(facts["complete"]), **facts}

    def _mqtt(self) -> Part:
        if self._consumer is None:
            return {"ok": True, "consumes": False}
        connected = self._consumer.connected
        return {"ok": connected, "consumes": True, "connected": connected, "error": self._consumer.last_error}

    def _queue(self) -> Part:
        batcher = self._committer.batcher
        facts = {"rows": batcher.rows, "bytes": batcher.size, "in_hand_rows": self._committer.in_hand}
        return {"ok": not self._stall.secs, **facts, "stalled_secs": round(self._stall.secs, 1)}


def _said(exc: Exception) -> str:
    return exc.message if isinstance(exc, GatewayError) else f"no answer within {PROBE_SECS} s"
