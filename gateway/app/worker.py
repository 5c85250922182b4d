"""The composition root: settings → the open parts of one worker.

Sinks open before sources and close after them: what was taken in can always be written.
"""

import asyncio
import gc
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from random import SystemRandom

from gateway.app.health.conditions import Spells
from gateway.app.health.gauges import showing
from gateway.app.health.readiness import Monitor
from gateway.app.health.readiness import watching as looking_after
from gateway.app.processes.worker_process import worker_index
from gateway.app.reading import open_reading
from gateway.app.registry import Registry, following, open_registry
from gateway.app.storage import open_storage
from gateway.core.settings import Settings
from gateway.domain.rate_limit import to_meters
from gateway.ingest import receipts
from gateway.ingest.intake import BodyIntake
from gateway.ingest.pipeline.stall import Stall, watching
from gateway.mqtt import consumer as mqtt
from gateway.services.dead_letter_replay import DeadLetterReplay
from gateway.services.device_listing import DeviceListing
from gateway.services.device_removal import sweeping
from gateway.services.registry import Registrar, build_registrar
from gateway.state.read import NewestReader
from gateway.telemetry.rates import RateHistory
from gateway.telemetry.rates_sampler import sampling
from gateway.timescale.dead_letters.browse import StoredDeadLetters
from gateway.timescale.dead_letters.purge import keep_bound, purge
from gateway.timescale.dead_letters.store import TimescaleDeadLetters
from gateway.timescale.registry.device_count import DeviceCounter
from gateway.timescale.retention import remove_old
from gateway.web.context import Context, IngestParts, RegistryParts

MQTT_STOP_SECS = 10.0
"""Longest wait for MQTT messages in hand when stopping; the broker sends the rest again."""

COLLECTIONS = (20_000, 5, 50)
"""When the garbage collector looks: what requests leave behind holds no cycles, so looking often finds nothing. A tenth
of the CPU of small messages over MQTT, less elsewhere."""


@asynccontextmanager
async def open_runtime(settings: Settings, worker: str) -> AsyncIterator[Context]:
    """Open everything one worker needs and close it in reverse. Raises GatewayError if a part cannot open."""
    async with AsyncExitStack() as stack:
        registry = await stack.enter_async_context(open_registry(settings))
        storage = await stack.enter_async_context(open_storage(settings, worker, registry))
        stall, history = Stall(time.monotonic), RateHistory()
        await stack.enter_async_context(watching(stall))
        way = registry.admission, storage.committer, registry.layouts, registry.clock
        intake = BodyIntake(*way, stall=stall, max_readings=settings.http.max_readings)
        await stack.enter_async_context(following(settings, registry))
        consumer = await stack.enter_async_context(_consuming(settings, worker, intake, storage.dead_letters))
        registrar = build_registrar(registry.pool, storage.state, clock=registry.forward)
        await stack.enter_async_context(_tidying(settings, worker, registry, registrar=registrar))
        await stack.enter_async_context(sampling(history))
        live = NewestReader(storage.state, registry.dictionary, registry.directory, stored=storage.stored)
        stack.push_async_callback(live.close)
        ways_out = await stack.enter_async_context(open_reading(settings, registry, storage, live=live))
        dead_letters = StoredDeadLetters(registry.pool)
        spells = Spells(worker, registry.clock, monotonic=time.monotonic)
        monitor = Monitor(registry.pool, storage, settings=settings, stall=stall, consumer=consumer, spells=spells)
        await stack.enter_async_context(looking_after(monitor))
        gc.freeze()  # what is open now stays: the collector need not look at it again
        gc.set_threshold(*COLLECTIONS)
        context = Context(
            settings,
            worker=worker,
            clock=registry.clock,
            authenticator=registry.authenticator,
            ways_in=IngestParts(intake, storage.idempotency, dead_letters, DeadLetterReplay(intake, dead_letters)),
            ways_out=ways_out,
            fleet=_fleet(settings, registry, registrar, live=live),
            health=monitor.health,
            history=history,
            devices_changed=registry.devices_changed,
        )
        await stack.enter_async_context(showing(settings, context, storage, dead_letters, stall=stall))
        yield context
        await asyncio.gather(*context.concluding, return_exceptions=True)


def _fleet(settings: Settings, registry: Registry, registrar: Registrar, *, live: NewestReader) -> RegistryParts:
    silent, clock, monotonic = settings.devices.offline_after_secs, registry.clock, time.monotonic
    listing = DeviceListing(registrar.devices, live, clock=clock, monotonic=monotonic, offline_after_secs=silent)
    counter = DeviceCounter(registry.pool, clock=clock, monotonic=monotonic, offline_after_secs=silent)
    return RegistryParts(registrar, listing, counter)


@asynccontextmanager
async def _tidying(settings: Settings, worker: str, registry: Registry, *, registrar: Registrar) -> AsyncIterator[None]:
    """Remove now and then what is due to go; the first worker does it for all."""
    if worker_index(worker):
        yield
        return
    async with (
        sweeping(registrar.removal, registrar.audit, keep_days=settings.audit.keep_days),
        purge(settings.dead_letters).repeated(registry.pool),
        keep_bound(settings.dead_letters).repeated(registry.pool),
        remove_old(settings.retention).repeated(registry.pool),
    ):
        yield


@asynccontextmanager
async def _consuming(
    settings: Settings, worker: str, intake: BodyIntake, dead_letters: TimescaleDeadLetters
) -> AsyncIterator[mqtt.Consumer | None]:
    """Run the MQTT consumer in the first worker, if a broker is set."""
    if not settings.mqtt.url or worker_index(worker):
        yield None
        return
    consumer = mqtt.build(
        settings.mqtt,
        intake,
        dead_letters,
        encode=receipts.to_json,
        client_id=settings.mqtt.client_id,
        rng=SystemRandom(),
        meters=to_meters(settings.limits, "device"),
    )
    consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop(within_secs=MQTT_STOP_SECS)
