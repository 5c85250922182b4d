"""The composition root: settings in, the open parts of one worker out. The only file that knows every part.

Sinks open before sources and close after them: what was taken in can always be written.
"""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Collection
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from random import SystemRandom
from typing import NamedTuple

from gateway import receipts
from gateway.admission.auth import Authenticator
from gateway.admission.gate import Gate
from gateway.health import Monitor
from gateway.intake import Intake
from gateway.layouts import Layouts
from gateway.mqtt import consumer as mqtt
from gateway.pipeline.committer import Committer
from gateway.settings import Settings
from gateway.state.publisher import Publisher
from gateway.state.read import LiveReader
from gateway.state.store import open_state
from gateway.telemetry import events
from gateway.timescale.credentials import StoredCredentials
from gateway.timescale.deadletters import TimescaleDeadLetters
from gateway.timescale.dictionary import Dictionary
from gateway.timescale.directory import TimescaleDirectory
from gateway.timescale.installation import site
from gateway.timescale.pool import Pool, open_pool
from gateway.timescale.revisions import follow
from gateway.timescale.writer import Writer
from gateway.web.context import Context
from gateway.workers import worker_index

MQTT_STOP_SECS = 10.0
"""Longest wait for MQTT messages in hand when stopping; the broker sends the rest again."""


FOLLOW_AGAIN_SECS = 0.5


class SystemClock:
    """`contracts.Clock` of this machine."""

    def now_us(self) -> int:
        """Microseconds since 1970 UTC."""
        return time.time_ns() // 1000


@asynccontextmanager
async def open_runtime(settings: Settings, worker: str) -> AsyncIterator[Context]:
    """Open everything one worker needs and close it in reverse. Raises GatewayError if a part cannot open."""
    database = settings.database
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(_pool(settings, "gateway", size=database.read_pool))
        clock, layouts, dictionary = SystemClock(), Layouts(), Dictionary(pool)
        directory = TimescaleDirectory(pool, dictionary, monotonic=time.monotonic)
        authenticator = Authenticator(
            StoredCredentials(pool, clock=clock), admin_key=settings.auth.admin_key, clock=clock
        )
        stack.push_async_callback(authenticator.close)
        state = await stack.enter_async_context(open_state(settings.redis, site=await site(pool)))
        publisher = await stack.enter_async_context(Publisher(state, settings.redis))
        letters = TimescaleDeadLetters(pool)
        writer = Writer(database, dictionary, letters, overwrite=settings.devices.conflict == "overwrite")
        stack.push_async_callback(writer.close)
        committer = await stack.enter_async_context(
            Committer(writer, publisher.publish, limits=settings.queue, slots=database.writer_slots)
        )
        gate = Gate(directory, layouts, devices=settings.devices, clock=settings.clock, retention=settings.retention)
        intake = Intake(gate, committer, layouts, clock, max_readings=settings.http.max_readings)
        changes = _Changes(authenticator, directory, gate, layouts)
        await stack.enter_async_context(_following(settings, changes))
        consumer = await stack.enter_async_context(_consuming(settings, worker, intake, letters))
        monitor = Monitor(pool, state, committer=committer, publisher=publisher, consumer=consumer)
        gc.freeze()  # what is open now stays: the collector need not look at it again
        yield Context(
            settings,
            worker=worker,
            intake=intake,
            authenticator=authenticator,
            live=LiveReader(state, dictionary, directory),
            health=monitor.health,
            clock=clock,
        )


class _Changes(NamedTuple):
    """Who must hear of changes in the registry."""

    authenticator: Authenticator
    directory: TimescaleDirectory
    gate: Gate
    layouts: Layouts

    def devices(self, names: Collection[str] | None) -> None:
        self.directory.forget(names)
        self.gate.forget()

    def declared_ints(self, names: Collection[str]) -> None:
        self.layouts.declare_ints(names)
        self.gate.forget()


@asynccontextmanager
async def _following(settings: Settings, changes: _Changes) -> AsyncIterator[None]:
    async with _pool(settings, "gateway-revisions", size=1) as pool:
        follower = asyncio.create_task(_follow(pool, settings, changes), name="revisions.follow")
        try:
            yield
        finally:
            follower.cancel()
            await asyncio.wait([follower])


async def _follow(pool: Pool, settings: Settings, changes: _Changes) -> None:
    """Follow for ever: a mistake of ours must not let revoked tokens live on, so it begins anew and forgets all."""
    while True:
        try:
            await follow(
                pool,
                every_ms=settings.auth.refresh_ms,
                on_credentials=changes.authenticator.forget,
                on_devices=changes.devices,
                on_declared_ints=changes.declared_ints,
                on_trouble=events.registry_trouble,
            )
        except Exception as exc:  # noqa: BLE001
            events.registry_failed(exc)
            await asyncio.sleep(FOLLOW_AGAIN_SECS)


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
    )
    consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop(within_secs=MQTT_STOP_SECS)


def _pool(settings: Settings, name: str, *, size: int) -> AbstractAsyncContextManager[Pool]:
    database = settings.database
    return open_pool(
        database.url,
        name=name,
        size=size,
        connect_timeout=database.connect_timeout_secs,
        command_timeout=database.read_timeout_secs,
    )
