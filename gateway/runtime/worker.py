"""The composition root: settings in, the open parts of one worker out.

Sinks open before sources and close after them: what was taken in can always be written.
"""

import gc
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from random import SystemRandom

from gateway import receipts
from gateway.admission.limits import to_meters
from gateway.health import Monitor
from gateway.intake import Intake
from gateway.listing import Listing
from gateway.mqtt import consumer as mqtt
from gateway.pipeline.stall import Stall, watching
from gateway.redelivery import Redelivery
from gateway.registrar import registrar
from gateway.removal import sweeping
from gateway.runtime.history import open_history
from gateway.runtime.live import open_streams
from gateway.runtime.registry import following, open_registry
from gateway.runtime.storage import open_storage
from gateway.settings import Settings
from gateway.state.read import LiveReader
from gateway.telemetry.history import History
from gateway.telemetry.history_sampler import sampling
from gateway.timescale.census import Census
from gateway.timescale.deadletters import TimescaleDeadLetters
from gateway.timescale.letter_purge import purging
from gateway.timescale.letterbox import LetterBox
from gateway.timescale.retention import retaining
from gateway.web.context import Context
from gateway.workers import worker_index

MQTT_STOP_SECS = 10.0
"""Longest wait for MQTT messages in hand when stopping; the broker sends the rest again."""


@asynccontextmanager
async def open_runtime(settings: Settings, worker: str) -> AsyncIterator[Context]:
    """Open everything one worker needs and close it in reverse. Raises GatewayError if a part cannot open."""
    async with AsyncExitStack() as stack:
        registry = await stack.enter_async_context(open_registry(settings))
        storage = await stack.enter_async_context(open_storage(settings, worker, registry))
        stall = Stall(time.monotonic)
        await stack.enter_async_context(watching(stall))
        intake = Intake(
            registry.gate,
            storage.committer,
            registry.layouts,
            registry.clock,
            stall=stall,
            max_readings=settings.http.max_readings,
        )
        await stack.enter_async_context(following(settings, registry))
        consumer = await stack.enter_async_context(_consuming(settings, worker, intake, storage.letters))
        monitor = Monitor(
            registry.pool,
            storage.state,
            breaker=storage.breaker,
            drainer=storage.drainer,
            stall=stall,
            committer=storage.committer,
            publisher=storage.publisher,
            keeper=storage.keeper,
            consumer=consumer,
            room=lambda: settings.spool.max_bytes - storage.spool.size,
        )
        book = registrar(registry.pool, storage.state, storage.stored, clock=registry.clock)
        if not worker_index(worker):
            await stack.enter_async_context(sweeping(book.removal, book.audit, keep_days=settings.audit.keep_days))
            await stack.enter_async_context(purging(registry.pool, settings.dead_letters))
            await stack.enter_async_context(retaining(registry.pool, settings.retention))
        history = History()
        await stack.enter_async_context(sampling(history))
        live = LiveReader(storage.state, registry.dictionary, registry.directory, stored=storage.stored)
        letters = LetterBox(registry.pool)
        gc.freeze()  # what is open now stays: the collector need not look at it again
        yield Context(
            settings,
            worker=worker,
            intake=intake,
            authenticator=registry.authenticator,
            live=live,
            streams=await stack.enter_async_context(open_streams(settings, registry, storage, live)),
            stored=await stack.enter_async_context(open_history(settings, registry.dictionary)),
            letters=letters,
            redelivery=Redelivery(intake, letters),
            receipts=storage.answers,
            health=monitor.health,
            clock=registry.clock,
            history=history,
            census=Census(registry.pool, monotonic=time.monotonic),
            registrar=book,
            listing=Listing(
                book.devices,
                live,
                clock=registry.clock,
                monotonic=time.monotonic,
                offline_after_secs=settings.devices.offline_after_secs,
            ),
        )


@asynccontextmanager
async def _consuming(
    settings: Settings, worker: str, intake: Intake, letters: TimescaleDeadLetters
) -> AsyncIterator[mqtt.Consumer | None]:
    """Run the MQTT consumer in the first worker, if a broker is set."""
    if not settings.mqtt.url or worker_index(worker):
        yield None
        return
    consumer = mqtt.build(
        settings.mqtt,
        intake,
        letters,
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
