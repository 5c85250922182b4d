"""Levels of an open worker, for `gauges`: limits once, levels now and then. Changes nothing.

A scrape asks no part: it reads what was seen last. What is the same for all workers the first one counts.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from gateway.app.processes.worker_process import worker_index
from gateway.app.storage import Storage
from gateway.core.errors import GatewayError
from gateway.core.settings import Settings
from gateway.ingest.pipeline.stall import Stall
from gateway.telemetry import events, gauges
from gateway.telemetry.periodic import repeating
from gateway.timescale.dead_letters.browse import StoredDeadLetters
from gateway.web.context import Context
from gateway.web.handlers.health import account

LOOK_SECS = 2.0
COUNT_SECS = 15.0
"""From the end of one count of devices to the beginning of the next."""
REST = 9.0
"""Times as long as a step of counting took, until the next step: it takes a tenth of one connection at most."""


@asynccontextmanager
async def showing(
    settings: Settings, context: Context, storage: Storage, letters: StoredDeadLetters, *, stall: Stall
) -> AsyncIterator[None]:
    """Show limits and levels of this worker until the end of the block."""
    _show_limits(settings, context)
    failed = events.sample_failed
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(
            repeating(
                lambda: _look(context, storage, stall), name="gauges.look", every_secs=LOOK_SECS, on_failure=failed
            )
        )
        if not worker_index(context.worker):
            await stack.enter_async_context(
                repeating(
                    lambda: _count(context, letters), name="gauges.count", every_secs=COUNT_SECS, on_failure=failed
                )
            )
        yield


def _show_limits(settings: Settings, context: Context) -> None:
    gauges.worker_up[(context.worker,)].set(1)
    for labels in gauges.build_info.declared:
        gauges.build_info[labels].set(1)
    gauges.queue_rows_limit.set(settings.queue.max_rows)
    gauges.queue_bytes_limit.set(settings.queue.max_bytes)
    gauges.spool_bytes_limit.set(settings.spool.max_bytes)
    gauges.connections_limit.set(context.connection_limit.seats)
    gauges.inflight_bytes_limit.set(settings.http.max_inflight_bytes)
    gauges.unread_bytes_limit.set(settings.http.max_unread_bytes)
    gauges.live_streams_limit.set(settings.live.max_streams)
    gauges.exports_limit.set(settings.history.max_exports)
    gauges.state_pending_rows_limit.set(settings.redis.max_pending_rows)
    gauges.dead_letter_bytes_limit.set(settings.dead_letters.max_bytes)
    gauges.pool_opened(gauges.WRITER, settings.database.writer_slots + 1)  # one more empties the spool
    if settings.mqtt.url and not worker_index(context.worker):
        gauges.mqtt_unacknowledged_limit.set(2 * settings.mqtt.receive_max)


async def _look(context: Context, storage: Storage, stall: Stall) -> None:
    health = await account(context)
    gauges.looked(is_ready=health.ready and not context.draining, parts=health.parts)
    gauges.stalled_secs.set(stall.secs)
    oldest_us = storage.drainer.waiting().oldest_us
    gauges.spool_oldest_secs.set(0 if oldest_us is None else max(0, context.clock.now_us() - oldest_us) / 1e6)
    gauges.inflight_bytes.set(context.bodies.inflight_bytes)
    gauges.unread_bytes.set(context.unread.bytes)
    gauges.exports.set(context.exports.running)
    gauges.state_pending_rows.set(storage.publisher.behind)


async def _count(context: Context, letters: StoredDeadLetters) -> None:
    """Count what only the database knows, in steps; while it is away, its own health says so."""
    with suppress(GatewayError):
        began = time.monotonic()
        gauges.dead_letter_bytes.set(await letters.bytes_kept())
        await _rest(began)
        devices = offline = 0
        last: str | None = ""
        while last is not None:
            began = time.monotonic()
            step = await context.listing.count(after=last)
            devices, offline, last = devices + step.devices, offline + step.offline, step.last
            await _rest(began)
        gauges.devices.set(devices)
        gauges.devices_offline.set(offline)


async def _rest(began: float) -> None:
    await asyncio.sleep(REST * (time.monotonic() - began))
