"""The composition root: settings in, the open parts of one worker out. The only file that knows every part.

Sinks open before sources and close after them: what was taken in can always be written.
"""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from random import SystemRandom
from typing import NamedTuple

from gateway import receipts
from gateway.admission.auth import Authenticator
from gateway.admission.gate import Gate
from gateway.contracts import Clock
from gateway.health import Monitor
from gateway.intake import Intake
from gateway.layouts import Layouts
from gateway.mqtt import consumer as mqtt
from gateway.pipeline.breaker import Breaker
from gateway.pipeline.committer import Committer
from gateway.pipeline.drainer import Drainer
from gateway.pipeline.fallback import Fallback
from gateway.pipeline.spool import SqliteSpool, open_spools
from gateway.pipeline.stall import Stall, watching
from gateway.redelivery import Redelivery
from gateway.replay import Replay
from gateway.settings import Settings
from gateway.state.keeper import Keeper
from gateway.state.publisher import Publisher
from gateway.state.read import LiveReader
from gateway.state.receipts import RedisReceipts, open_receipts
from gateway.state.store import RedisState, open_state
from gateway.telemetry import events
from gateway.timescale.credentials import StoredCredentials
from gateway.timescale.deadletters import TimescaleDeadLetters
from gateway.timescale.dictionary import Dictionary
from gateway.timescale.directory import TimescaleDirectory
from gateway.timescale.installation import site
from gateway.timescale.latest import TimescaleNewest
from gateway.timescale.letter_purge import purging
from gateway.timescale.letterbox import LetterBox
from gateway.timescale.migrations import migrate
from gateway.timescale.pool import Pool, open_pool
from gateway.timescale.revisions import follow
from gateway.timescale.writer import Writer
from gateway.web.context import Context
from gateway.workers import worker_index

MQTT_STOP_SECS = 10.0
"""Longest wait for MQTT messages in hand when stopping; the broker sends the rest again."""
FOLLOW_AGAIN_SECS = 0.5
STATE_POOL = 2
"""Connections on which the state is read while Redis cannot tell it; no ingest and no rebuild waits for them."""
DRAIN_ROWS = 10_000
"""Messages of the spool that one COMMIT takes at most."""


class SystemClock:
    """`contracts.Clock` of this machine."""

    def now_us(self) -> int:
        """Microseconds since 1970 UTC."""
        return time.time_ns() // 1000


class _Registry(NamedTuple):
    """What is known of devices, credentials and names, and who must hear when it changes."""

    pool: Pool
    clock: Clock
    layouts: Layouts
    dictionary: Dictionary
    directory: TimescaleDirectory
    authenticator: Authenticator
    gate: Gate

    def devices_changed(self, names: Collection[str] | None) -> None:
        self.directory.forget(names)
        self.gate.forget()

    def ints_declared(self, names: Collection[str]) -> None:
        self.layouts.declare_ints(names)
        self.gate.forget()


class _Storage(NamedTuple):
    """Where readings go."""

    state: RedisState
    answers: RedisReceipts
    stored: TimescaleNewest
    keeper: Keeper
    publisher: Publisher
    letters: TimescaleDeadLetters
    breaker: Breaker
    committer: Committer
    drainer: Drainer
    spool: SqliteSpool


@asynccontextmanager
async def open_runtime(settings: Settings, worker: str) -> AsyncIterator[Context]:
    """Open everything one worker needs and close it in reverse. Raises GatewayError if a part cannot open."""
    async with AsyncExitStack() as stack:
        registry = await stack.enter_async_context(_open_registry(settings))
        storage = await stack.enter_async_context(_open_storage(settings, worker, registry))
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
        await stack.enter_async_context(_following(settings, registry))
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
        if not worker_index(worker):
            await stack.enter_async_context(purging(registry.pool, settings.dead_letters))
        letters = LetterBox(registry.pool)
        gc.freeze()  # what is open now stays: the collector need not look at it again
        yield Context(
            settings,
            worker=worker,
            intake=intake,
            authenticator=registry.authenticator,
            live=LiveReader(storage.state, registry.dictionary, registry.directory, stored=storage.stored),
            letters=letters,
            redelivery=Redelivery(intake, letters),
            receipts=storage.answers,
            health=monitor.health,
            clock=registry.clock,
        )


@asynccontextmanager
async def open_drainer(settings: Settings) -> AsyncIterator[Drainer]:
    """Open only what it takes to empty the spools that no running gateway owns."""
    async with _open_registry(settings) as registry, _open_storage(settings, "drain", registry) as storage:
        yield storage.drainer


@asynccontextmanager
async def _open_registry(settings: Settings) -> AsyncIterator[_Registry]:
    async with _pool(settings, "gateway", size=settings.database.read_pool) as pool:
        clock, layouts, dictionary = SystemClock(), Layouts(), Dictionary(pool)
        directory = TimescaleDirectory(pool, dictionary, monotonic=time.monotonic)
        credentials = StoredCredentials(pool, clock=clock)
        authenticator = Authenticator(credentials, admin_key=settings.auth.admin_key, clock=clock)
        gate = Gate(directory, layouts, devices=settings.devices, clock=settings.clock, retention=settings.retention)
        try:
            yield _Registry(pool, clock, layouts, dictionary, directory, authenticator, gate)
        finally:
            await authenticator.close()


@asynccontextmanager
async def _open_storage(settings: Settings, worker: str, registry: _Registry) -> AsyncIterator[_Storage]:
    async with AsyncExitStack() as stack:
        state = await stack.enter_async_context(open_state(settings.redis))
        stored = TimescaleNewest(await stack.enter_async_context(_pool(settings, "gateway-state", size=STATE_POOL)))
        source = TimescaleNewest(await stack.enter_async_context(_pool(settings, "gateway-rebuild", size=1)))
        keeper = await stack.enter_async_context(Keeper(state, source))
        publisher = await stack.enter_async_context(Publisher(state, settings.redis, on_skip=keeper.note_gap))
        letters = TimescaleDeadLetters(registry.pool)
        overwrite = settings.devices.conflict == "overwrite"
        writer = Writer(settings.database, registry.dictionary, letters, overwrite=overwrite)
        stack.push_async_callback(writer.close)
        spools = await stack.enter_async_context(
            open_spools(settings.spool, worker, layouts=registry.layouts, clock=registry.clock)
        )
        keep_secs = settings.http.idempotency_hours * 3600
        answers = await stack.enter_async_context(open_receipts(settings.redis, keep_secs=keep_secs))
        probe = _probe(settings, registry.pool, state, answers)
        breaker = await stack.enter_async_context(Breaker(probe, rng=SystemRandom()))
        fallback = Fallback(writer, spools.own, breaker)
        committer = await stack.enter_async_context(
            Committer(fallback, publisher.publish, limits=settings.queue, slots=settings.database.writer_slots)
        )
        replay = Replay(fallback, publisher.publish, letters)
        drainer = Drainer(
            [*spools.left, spools.own],  # what others left is older
            replay.store,
            bury=replay.bury,
            busy=lambda: len(committer.batcher) > 0,
            rng=SystemRandom(),
            max_rows=DRAIN_ROWS,
        )
        await stack.enter_async_context(drainer)
        breaker.on_back += [lambda: registry.devices_changed(None), drainer.kick]
        yield _Storage(state, answers, stored, keeper, publisher, letters, breaker, committer, drainer, spools.own)


def _probe(settings: Settings, pool: Pool, state: RedisState, answers: RedisReceipts) -> Callable[[], Awaitable[None]]:
    """Return what tells that the database is there and is ours: its schema up to date, its name known."""
    database = settings.database

    async def probe() -> None:
        await migrate(database.url, chunk_hours=database.chunk_hours, connect_timeout=database.connect_timeout_secs)
        name = await site(pool)
        state.belong_to(name)
        answers.belong_to(name)

    return probe


@asynccontextmanager
async def _following(settings: Settings, registry: _Registry) -> AsyncIterator[None]:
    async with _pool(settings, "gateway-revisions", size=1) as pool:
        follower = asyncio.create_task(_follow(pool, settings, registry), name="revisions.follow")
        try:
            yield
        finally:
            follower.cancel()
            await asyncio.wait([follower])


async def _follow(pool: Pool, settings: Settings, registry: _Registry) -> None:
    """Follow for ever: a mistake of ours must not let revoked tokens live on, so it begins anew and forgets all."""
    while True:
        try:
            await follow(
                pool,
                every_ms=settings.auth.refresh_ms,
                on_credentials=registry.authenticator.forget,
                on_devices=registry.devices_changed,
                on_declared_ints=registry.ints_declared,
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
