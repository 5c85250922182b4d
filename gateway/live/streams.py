"""Streams of one worker: who may have how many, and when they end. HTTP only writes what it yields.

What one reader is sent, and in which order, is in reader.py.
"""

import asyncio
from collections.abc import Callable, Collection, Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Self

from gateway.core import settings
from gateway.core.errors import Draining, GatewayError, TooManyStreams
from gateway.core.tasks import end
from gateway.domain.changes import ChangeLog, LogPosition
from gateway.domain.contracts.newest import DeviceStates, ShapeBook, TagLookup
from gateway.domain.principal import Principal
from gateway.domain.shares import Share
from gateway.live.filters import Filter
from gateway.live.reader import LiveClient
from gateway.live.snapshots import Snapshots
from gateway.live.subscription import Source, Subscription
from gateway.live.tail import Tail
from gateway.telemetry import live_events

AGAIN_SECS = 1.0
"""Pause after the devices of a filter could not be read."""
LOOK_SECS = 0.5
"""How often readers are looked at: for signs of life, and whether they take what they are sent."""
REFRESH_SECS = 0.3
"""Pause between two looks at which devices carry the tags of a filter."""
MAX_SUBSCRIPTIONS = 50
"""Of one reader."""


class Streams:
    """All readers. `async with` starts and stops what serves them."""

    def __init__(
        self,
        log: ChangeLog,
        shapes: ShapeBook,
        *,
        by_tag: TagLookup,
        states: DeviceStates,
        limits: settings.LiveSettings,
    ) -> None:
        self.limits = limits
        self._source = Source(log, shapes, Snapshots(by_tag, states))
        self._tail = Tail(log, shapes, self._source.hub)
        self._readers: set[LiveClient] = set()
        self._draining = False
        self._generation = 0
        """Grows with every change of devices."""
        self._changed = asyncio.Event()
        self._parts = AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        await self._parts.enter_async_context(self._tail)
        self._parts.push_async_callback(self._source.snapshots.close)
        self._tasks = [
            asyncio.create_task(self._watch_tags(), name="live.tags"),
            asyncio.create_task(self._watch_readers(), name="live.readers"),
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.drain()
        await end(*self._tasks)
        await self._parts.aclose()

    @contextmanager
    def reader(self, principal: Principal, *, cut: Callable[[], None]) -> Iterator[LiveClient]:
        """Lend a reader; `cut` ends its connection. Raises TooManyStreams, Draining."""
        self._admit(principal)
        reader = LiveClient(self, principal, cut=cut)
        self._readers.add(reader)
        self._tail.enter()
        try:
            yield reader
        finally:
            reader.close()
            self._readers.discard(reader)
            self._tail.leave()
            self._count()

    async def subscription(
        self, reader: LiveClient, wanted: Filter, *, last: LogPosition | None, snapshot: bool, wake: asyncio.Event
    ) -> Subscription:
        """Make a subscription of a reader; see Reader.subscribe."""
        if len(reader) >= MAX_SUBSCRIPTIONS:
            raise _full(f"a connection may have {MAX_SUBSCRIPTIONS} subscriptions", "subscriptions", MAX_SUBSCRIPTIONS)
        if len(reader):  # the first one's place is the reader's own
            self._admit(reader.principal)
        generation = self._generation
        names = await self._source.snapshots.names(wanted)
        await self._tail.settled()
        made = Subscription(
            self._source, wanted, names, max_bytes=self.limits.mailbox_bytes, wake=wake.set, snapshot=snapshot
        )
        made.begin(last, replay_ms=self.limits.replay_secs * 1000)
        if wanted.tags and generation != self._generation:
            self._changed.set()
        self._count()
        return made

    def drain(self) -> None:
        """End every stream, and take no more: this worker stops."""
        self._draining = True
        for reader in list(self._readers):
            reader.end("draining")

    def devices_changed(self, _: Collection[str] | None) -> None:
        """Look anew at which devices carry which tags."""
        self._generation += 1
        self._changed.set()

    def _admit(self, principal: Principal) -> None:
        if self._draining:
            raise Draining
        most = self.limits.max_streams
        sizes = [(reader.caller, max(1, len(reader))) for reader in self._readers]
        if sum([size for _, size in sizes]) >= most:
            raise _full(f"{most} streams are open here", "live.max_streams", most)
        own, share = principal.caller, self._share(principal)
        if sum([size for caller, size in sizes if caller == own]) >= share.most:
            raise _full(f"{share.what} has {share.most} streams open here", share.limit, share.most)

    def _share(self, principal: Principal) -> Share:
        limits = self.limits
        if principal.device is not None:
            return Share(limits.max_streams_per_device, "live.max_streams_per_device", "this device")
        return Share(limits.max_streams_per_credential, "live.max_streams_per_credential", "this credential")

    def _count(self) -> None:
        live_events.streams(len(self._source.hub))

    async def _watch_readers(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECS)
            for reader in list(self._readers):
                reader.look()

    async def _watch_tags(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                await self._refresh()
            except GatewayError:
                self._changed.set()  # the database is away: what was known stays in use until it is back
                await asyncio.sleep(AGAIN_SECS)
            except Exception as exc:  # noqa: BLE001 - a mistake of ours must not end the watch
                live_events.failed(exc)
            await asyncio.sleep(REFRESH_SECS)

    async def _refresh(self) -> None:
        for feed in [feed for feed in self._source.hub.feeds if feed.filter.tags]:
            names = await self._source.snapshots.names(feed.filter)
            self._source.hub.rename(feed, names or frozenset())


def _full(why: str, limit: str, value: int) -> TooManyStreams:
    live_events.refused(limit)
    return TooManyStreams(
        f"{why}, and no more may be ({limit}); close one, or share it: one stream shows many devices",
        limit=limit,
        value=value,
    )
