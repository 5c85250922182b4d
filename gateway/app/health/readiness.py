"""Readiness of this worker, part by part, and what is not well since when: what /readyz shows.

The parts are looked at every second, whether or not anybody asks. Who asks gets what is known by then: a part is waited
for QUICK_SECS, however long it takes to answer.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from gateway.app.health.conditions import Spells
from gateway.app.health.probes import Part, Probe
from gateway.app.health.spool_trend import Trend
from gateway.app.storage import Storage
from gateway.core.errors import GatewayError, SpoolFault
from gateway.core.settings import Settings
from gateway.core.timestamps import to_rfc3339
from gateway.domain.conditions import find
from gateway.ingest.pipeline.stall import Stall
from gateway.ingest.spool.file import TWICE, free_bytes
from gateway.mqtt.consumer import Consumer
from gateway.telemetry import health_events
from gateway.telemetry.periodic import repeating
from gateway.timescale.connections.pool import Pool
from gateway.timescale.server import probe
from gateway.web.ports import Health

PROBE_SECS = 2.0
"""Longest wait for one part."""
QUICK_SECS = 0.2
"""Longest wait for all of them where something is known already."""
LOOK_SECS = 1.0
DATABASE_SECS = 3.0
"""How often a database that answers is asked."""
UNKNOWN: Part = {"ok": False, "error": "not asked yet"}


class Monitor:
    """Knows the parts of one worker."""

    def __init__(
        self,
        pool: Pool,
        storage: Storage,
        *,
        settings: Settings,
        stall: Stall,
        consumer: Consumer | None,
        spells: Spells,
    ) -> None:
        self._limits = settings.queue, settings.spool
        self._pool = pool
        self._storage = storage
        self._stall = stall
        self._consumer = consumer
        self._spells = spells
        self._trend = Trend()
        self._looking: asyncio.Future[int] | None = None
        self._probes = {
            "database": Probe(self._database, every_secs=DATABASE_SECS),
            "redis": Probe(self._redis, every_secs=0.0),
            "disk": Probe(self._disk, every_secs=0.0),
        }

    async def health(self) -> Health:
        """Return what is known now. Traffic may come as long as readings can be made durable, there or in the spool."""
        await self._ask(within_secs=None if None in self._answers() else QUICK_SECS)
        return await self._account()

    async def look(self) -> None:
        """Ask the parts, and take note of how they are."""
        await self._ask()
        if self._storage.spool.refusal is not None:  # nobody may come to see that it takes readings again
            with suppress(TimeoutError):  # a disk that hangs
                async with asyncio.timeout(PROBE_SECS):
                    await self._storage.spool.probe()
        away = not (await self._account()).parts["database"]["ok"]
        waiting, now = self._storage.drainer.waiting(), asyncio.get_running_loop().time()
        self._trend.note(now, rows=waiting.rows, size=self._storage.spool.size, oldest_us=waiting.oldest_us, away=away)

    async def close(self) -> None:
        """Ask no more."""
        for each in self._probes.values():
            await each.close()

    async def _account(self) -> Health:
        database, redis, disk = (answer or UNKNOWN for answer in self._answers())
        if self._storage.breaker.trouble is not None:
            database = await self._database()  # it knows without asking
        spool = self._spooled(disk)
        parts = {"database": database, "redis": redis, "mqtt": self._mqtt(), "queue": self._queue(), "spool": spool}
        durable = bool(database["ok"] or spool["ok"])
        return Health(durable and not self._stall.secs, parts, self._spells.note(find(parts)))

    async def _ask(self, *, within_secs: float | None = None) -> None:
        await asyncio.gather(*[each.refresh(within_secs=within_secs) for each in self._probes.values()])

    def _answers(self) -> list[Part | None]:
        return [each.answer for each in self._probes.values()]

    def _spooled(self, disk: Part) -> Part:
        waiting, limit, spool = self._storage.drainer.waiting(), self._limits[1].max_bytes, self._storage.spool
        free = disk.get("free_bytes")
        room = limit - spool.size
        room = min(room, free) if isinstance(free, int) else room
        refusal = spool.refusal
        usable = bool(disk["ok"]) and spool.is_open and not isinstance(refusal, SpoolFault)
        facts = {
            "rows": waiting.rows,
            "bytes": waiting.size,
            "room_bytes": room,
            "max_bytes": limit,
            "disk_bytes": free,
            "oldest": to_rfc3339(waiting.oldest_us) if waiting.oldest_us is not None else None,
            "usable": usable,
            "damaged": self._storage.damaged(),
            "full_in_secs": self._trend.full_in_secs(room),
            "still_secs": round(self._trend.still_secs, 1),
        }
        error = disk.get("error") or (refusal.message if isinstance(refusal, SpoolFault) else "") or waiting.error
        takes = usable and refusal is None and room > spool.margin
        return {"ok": takes, **facts, "error": error or None}

    async def _disk(self) -> Part:
        """Say how much the disk of the spool takes; in a thread, since a disk may hang."""
        folder = self._limits[1].dir
        if self._looking is None:  # one that hangs keeps its thread, and gets no second one
            self._looking = asyncio.get_running_loop().run_in_executor(None, free_bytes, folder)
        looking = self._looking
        await asyncio.wait([looking], timeout=PROBE_SECS)
        try:
            free = looking.result()
        except (OSError, asyncio.InvalidStateError) as exc:
            return {"ok": False, "error": f"the folder {folder} (spool.dir): {_said(exc)}"}
        finally:
            self._looking = None if looking.done() else looking
        return {"ok": True, "free_bytes": free // TWICE}

    async def _database(self) -> Part:
        trouble = self._storage.breaker.trouble
        if trouble is not None:
            return {"ok": False, "error": trouble.error, "kind": trouble.kind, "since": to_rfc3339(trouble.since_us)}
        try:
            async with asyncio.timeout(PROBE_SECS):
                ground = await probe(self._pool)
        except (GatewayError, TimeoutError) as exc:
            return {"ok": False, "error": _said(exc)}
        return {"ok": True, "kind": ground.kind, "postgres": ground.postgres, "timescaledb": ground.timescale}

    async def _redis(self) -> Part:
        publisher, watcher = self._storage.publisher, self._storage.watcher
        facts = {"pending_rows": publisher.behind, **watcher.facts()}
        try:
            async with asyncio.timeout(PROBE_SECS):
                await self._storage.state.ping()
        except (GatewayError, TimeoutError) as exc:
            return {"ok": False, "error": _said(exc), **facts}
        well = publisher.healthy and bool(facts["complete"]) and not watcher.evicts
        return {"ok": well, **facts}

    def _mqtt(self) -> Part:
        if self._consumer is None:
            return {"ok": True, "consumes": False}
        connected = self._consumer.connected
        return {"ok": connected, "consumes": True, "connected": connected, "error": self._consumer.last_error}

    def _queue(self) -> Part:
        committer, limits = self._storage.committer, self._limits[0]
        facts = {"rows": committer.batcher.rows, "bytes": committer.batcher.size, "committing_rows": committer.in_hand}
        bounds = {"max_rows": limits.max_rows, "max_bytes": limits.max_bytes}
        return {"ok": not self._stall.secs, **facts, **bounds, "stalled_secs": round(self._stall.secs, 1)}


@asynccontextmanager
async def watching(monitor: Monitor, *, every_secs: float = LOOK_SECS) -> AsyncIterator[None]:
    """Look at the parts again and again, until the end of the block."""
    failed = health_events.watch_failed
    async with repeating(monitor.look, name="health.watch", every_secs=every_secs, on_failure=failed):
        yield
    await monitor.close()


def _said(exc: Exception) -> str:
    if isinstance(exc, GatewayError):
        return str(exc.__cause__ or "") or exc.message
    is_told = isinstance(exc, OSError) and not isinstance(exc, TimeoutError)
    return str(exc) if is_told else f"no answer within {PROBE_SECS} s"
