"""Storage, opened: the live state, the writer, the spool and its drainer. Closed in reverse."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from random import SystemRandom
from typing import NamedTuple

from gateway.app.lineage import migrate_as
from gateway.app.pools import named_pool
from gateway.app.registry import Registry, open_registry
from gateway.core.settings import Settings
from gateway.ingest.pipeline.breaker import Breaker
from gateway.ingest.pipeline.committer import Committer, ShowSpooled
from gateway.ingest.pipeline.drainer import Drainer
from gateway.ingest.pipeline.fallback import Fallback
from gateway.ingest.pipeline.poison import PoisonCheck
from gateway.ingest.spool.folder import Spools, open_spools
from gateway.ingest.spool.spool import SqliteSpool
from gateway.services.spool_replay import SpoolReplay
from gateway.state.idempotency import RedisIdempotency, open_idempotency
from gateway.state.publisher import Publisher
from gateway.state.rebuilder import StateWatcher
from gateway.state.repair import Repairer
from gateway.state.store import RedisState, open_state
from gateway.timescale.connections.lineage import Lineage
from gateway.timescale.connections.pool import Pool
from gateway.timescale.dead_letters.store import TimescaleDeadLetters
from gateway.timescale.newest import TimescaleNewest
from gateway.timescale.server import site
from gateway.timescale.write.name_ids import Dictionary
from gateway.timescale.write.preview import preview
from gateway.timescale.write.probe import rehearse
from gateway.timescale.write.writer import Writer

STATE_POOL = 2
"""Connections on which the state is read while Redis cannot tell it; no ingest and no rebuild waits for them."""
DRAIN_ROWS = 10_000
"""Messages of the spool that one COMMIT takes at most."""


class Storage(NamedTuple):
    """Where readings go."""

    state: RedisState
    idempotency: RedisIdempotency
    stored: TimescaleNewest
    watcher: StateWatcher
    publisher: Publisher
    dead_letters: TimescaleDeadLetters
    breaker: Breaker
    committer: Committer
    drainer: Drainer
    spool: SqliteSpool
    damaged: Callable[[], int]
    """How many batches on disk were set aside because they cannot be read, in all files of this worker."""


@asynccontextmanager
async def open_drainer(settings: Settings) -> AsyncIterator[Drainer]:
    """Open only what it takes to empty the spools that no running gateway owns."""
    async with open_registry(settings) as registry, open_storage(settings, "drain", registry) as storage:
        yield storage.drainer


class StateParts(NamedTuple):
    """The newest state, and what keeps it."""

    state: RedisState
    stored: TimescaleNewest
    watcher: StateWatcher
    publisher: Publisher


@asynccontextmanager
async def open_storage(settings: Settings, worker: str, registry: Registry) -> AsyncIterator[Storage]:
    """Open all of it; it opens while the database, Redis or both are away. Raises StartError."""
    async with AsyncExitStack() as stack:
        shown = await stack.enter_async_context(_open_shown(settings, registry.lineage))
        dead_letters = TimescaleDeadLetters(registry.pool, settings.dead_letters)
        overwrite = settings.devices.conflict == "overwrite"
        writer = Writer(settings.database, registry.dictionary, dead_letters, overwrite=overwrite)
        stack.push_async_callback(writer.close)
        spools = await stack.enter_async_context(
            open_spools(settings.spool, worker, layouts=registry.layouts, clock=registry.clock)
        )
        idempotency = await stack.enter_async_context(open_idempotency(settings.redis, settings.http))
        _follow(registry.lineage, shown, idempotency)
        breaker = await stack.enter_async_context(
            Breaker(_probe(settings, registry.pool), rng=SystemRandom(), clock=registry.clock)
        )
        fallback = Fallback(writer, spools.own, breaker)
        show_spooled = _show_spooled(shown.publisher, registry.dictionary, overwrite=overwrite)
        publish, limits, slots = shown.publisher.publish, settings.queue, settings.database.writer_slots
        committer = await stack.enter_async_context(
            Committer(fallback, publish, limits=limits, slots=slots, show_spooled=show_spooled)
        )
        replay = _replay(fallback, dead_letters, breaker, shown.publisher, show_spooled)
        drainer = _drainer(spools, fallback, breaker, committer, replay)
        await stack.enter_async_context(drainer)
        breaker.on_back += [lambda: registry.devices_changed(None), drainer.kick]
        yield Storage(
            shown.state,
            idempotency,
            shown.stored,
            shown.watcher,
            shown.publisher,
            dead_letters,
            breaker,
            committer,
            drainer,
            spools.own,
            damaged=lambda: sum([each.damaged for each in spools.all]),
        )


@asynccontextmanager
async def _open_shown(settings: Settings, lineage: Lineage) -> AsyncIterator[StateParts]:
    async with (
        open_state(settings.redis) as state,
        named_pool(settings, "gateway-state", size=STATE_POOL, lineage=lineage) as reading,
        named_pool(settings, "gateway-rebuild", size=1, lineage=lineage) as rebuilding,
    ):
        source = TimescaleNewest(rebuilding)
        async with (
            StateWatcher(state, source) as watcher,
            Repairer(state, source, worth=lambda: watcher.complete) as repairer,
            Publisher(state, settings.redis, on_skip=watcher.note_gap, on_part=repairer.soon) as publisher,
        ):
            yield StateParts(state, TimescaleNewest(reading), watcher, publisher)


def _follow(lineage: Lineage, shown: StateParts, idempotency: RedisIdempotency) -> None:
    """Keep apart what is derived from a database, and what of it waits, when the database becomes another one."""
    lineage.on_move += [
        lambda: shown.state.belong_to(lineage.site),
        lambda: idempotency.belong_to(lineage.site),
        shown.publisher.forget,
    ]


def _replay(
    fallback: Fallback,
    dead_letters: TimescaleDeadLetters,
    breaker: Breaker,
    publisher: Publisher,
    show_spooled: ShowSpooled,
) -> SpoolReplay:
    return SpoolReplay(
        fallback.drain,
        publisher.publish,
        dead_letters,
        show_spooled=show_spooled,
        answers=breaker.answers,
        drop=publisher.drop,
    )


def _drainer(
    spools: Spools, fallback: Fallback, breaker: Breaker, committer: Committer, replay: SpoolReplay
) -> Drainer:
    return Drainer(
        spools.all,
        replay.store,
        bury=replay.bury,
        busy=lambda: len(committer.batcher) > 0,
        rng=SystemRandom(),
        max_rows=DRAIN_ROWS,
        poison_check=PoisonCheck(breaker.answers, replay.rescue, lambda: fallback.stored),
        refresh=spools.refresh,
    )


def _show_spooled(publisher: Publisher, dictionary: Dictionary, *, overwrite: bool) -> ShowSpooled:
    """Return what shows readings as soon as they are in the spool, unless something as new is shown already.

    Ids are looked up in the turn of the loop in which they are handed over, so that none outlives its database there.
    """
    return lambda batches: publisher.publish(
        preview(batches, dictionary, last_wins=overwrite), later_wins=overwrite, spooled=True
    )


def _probe(settings: Settings, pool: Pool) -> Callable[[], Awaitable[None]]:
    """Return what tells that the database is there, the right one, ours (up to date, name known), and takes writes."""
    database, devices = settings.database, settings.devices

    async def probe() -> None:
        await pool.lineage.share()
        await migrate_as(settings, pool.lineage)
        await site(pool)
        await rehearse(database, overwrite=devices.conflict == "overwrite", make_devices=devices.unknown == "auto")

    return probe
