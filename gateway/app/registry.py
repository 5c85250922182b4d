"""The registry, opened: devices, credentials and names, followed, so that changes are heard within a second."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple

from gateway.app.lineage import open_lineage, watch
from gateway.app.pools import named_pool
from gateway.core.clock import Clock, ForwardClock, SystemClock
from gateway.core.settings import Settings
from gateway.core.tasks import background
from gateway.domain.layouts import Layouts
from gateway.domain.principal import Grant
from gateway.ingest.admission.admission import Admission
from gateway.ingest.admission.auth import TokenAuthenticator
from gateway.telemetry import registry_events
from gateway.timescale.connections.lineage import Lineage
from gateway.timescale.connections.pool import Pool
from gateway.timescale.registry.credentials import StoredCredentials
from gateway.timescale.registry.device_cache import TimescaleDirectory
from gateway.timescale.registry.revisions import follow
from gateway.timescale.write.name_ids import Dictionary

FOLLOW_AGAIN_SECS = 0.5


class Registry(NamedTuple):
    """What is known of devices, credentials and names, and who must hear when it changes."""

    pool: Pool
    clock: Clock
    forward: ForwardClock
    """By which credentials expire."""
    layouts: Layouts
    dictionary: Dictionary
    directory: TimescaleDirectory
    authenticator: TokenAuthenticator
    admission: Admission
    listeners: list[Callable[[Collection[str] | None], None]]
    """Who else must hear when devices change."""

    @property
    def lineage(self) -> Lineage:
        """Where the database's connections lead to."""
        return self.pool.lineage

    def forget(self) -> None:
        """Forget all that the database said."""
        self.devices_changed(None)
        self.authenticator.forget()

    def credentials_changed(self, changes: Mapping[bytes, Grant | None] | None) -> None:
        """Believe what these tokens stand for now; None means all may have changed."""
        if changes is None:
            self.authenticator.forget()
        else:
            self.authenticator.tell(changes)

    def devices_changed(self, names: Collection[str] | None) -> None:
        """Forget what is cached of these devices; None means all."""
        self.dictionary.forget_devices(names)
        self.directory.forget(names)
        self.admission.forget()
        for listen in self.listeners:
            listen(names)

    def ints_declared(self, names: Collection[str]) -> None:
        """Store the integers of these metrics exactly from now on."""
        self.layouts.declare_ints(names)
        self.admission.forget()


@asynccontextmanager
async def open_registry(settings: Settings) -> AsyncIterator[Registry]:
    """Open the registry; nothing is connected yet on return, so it opens while the database is away."""
    async with (
        open_lineage(settings) as lineage,
        named_pool(settings, "gateway", size=settings.database.read_pool, lineage=lineage) as pool,
        named_pool(settings, "gateway-tokens", size=1, lineage=lineage, leaves_nothing=True) as tokens,
    ):
        clock, layouts = SystemClock(), Layouts()
        forward = ForwardClock(clock)
        dictionary = Dictionary(pool, make_devices=settings.devices.unknown == "auto")
        directory = TimescaleDirectory(pool, dictionary, monotonic=time.monotonic)
        credentials = StoredCredentials(tokens, clock=forward)
        authenticator = TokenAuthenticator(
            credentials,
            admin_key=settings.auth.admin_key,
            clock=forward,
            max_look_ups=settings.auth.max_look_ups,
            refusals_per_sec=settings.auth.refusals_per_sec,
        )
        admission = Admission(
            directory,
            layouts,
            devices=settings.devices,
            clock=settings.clock,
            retention=settings.retention,
            share=settings.http.workers,
        )
        registry = Registry(pool, clock, forward, layouts, dictionary, directory, authenticator, admission, [])
        lineage.on_change.append(registry.forget)
        try:
            yield registry
        finally:
            await authenticator.close()


@asynccontextmanager
async def following(settings: Settings, registry: Registry) -> AsyncIterator[None]:
    """Hear of changes that others make to the registry, until left."""
    async with (
        named_pool(settings, "gateway-revisions", size=1, lineage=registry.lineage, leaves_nothing=True) as pool,
        background(_follow(pool, settings, registry), name="revisions.follow"),
        background(watch(pool), name="lineage.watch"),
    ):
        yield


async def _follow(pool: Pool, settings: Settings, registry: Registry) -> None:
    """Follow for ever: a mistake of ours must not let revoked tokens live on, so it begins anew and forgets all."""
    while True:
        try:
            await follow(
                pool,
                every_ms=settings.auth.refresh_ms,
                on_credentials=registry.credentials_changed,
                on_devices=registry.devices_changed,
                on_declared_ints=registry.ints_declared,
                on_trouble=registry_events.trouble,
                on_heard=registry.authenticator.heard,
            )
        except Exception as exc:  # noqa: BLE001
            registry_events.failed(exc)
            await asyncio.sleep(FOLLOW_AGAIN_SECS)
