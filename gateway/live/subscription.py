"""A subscription: one filter of one reader, what it missed, then what comes, ready to be sent. Owns no task."""

import asyncio
from collections.abc import AsyncIterator, Callable

from gateway.core.errors import GatewayError
from gateway.domain.changes import ChangeLog, LogPosition, follows
from gateway.domain.contracts.newest import ShapeBook
from gateway.live.event_queue import EventQueue
from gateway.live.events import Event, Item, Lagged, Lost, Output, Reason, Snapshot
from gateway.live.filters import Filter, LoggedBatch
from gateway.live.hub import Hub
from gateway.live.snapshots import NOTHING, Snapshots
from gateway.telemetry import live_events

REPLAYS = 4
"""Pages of the log read and decoded at once in a worker, for readers that come back."""
AGAIN_SECS = 1.0
"""Pause after newest values could not be read."""


class Source:
    """Where subscriptions get what they need. One per worker."""

    def __init__(self, log: ChangeLog, shapes: ShapeBook, snapshots: Snapshots) -> None:
        self.hub = Hub()
        self.log = log
        self.shapes = shapes
        self.snapshots = snapshots
        self.replays = asyncio.Semaphore(REPLAYS)


class Subscription:
    """Joined to the hub from its making until `close`; the hub must have a position."""

    def __init__(
        self,
        source: Source,
        wanted: Filter,
        names: frozenset[str] | None,
        *,
        max_bytes: int,
        wake: Callable[[], None],
        snapshot: bool,
    ) -> None:
        assert source.hub.position is not None  # noqa: S101 - the caller has waited for it
        self._source = source
        self._snapshot = snapshot
        self._queue = EventQueue(max_bytes=max_bytes, wake=wake)
        self._missed: tuple[LogPosition, LogPosition] | None = None
        self._feed = source.hub.join(wanted, names, self._queue)
        self._sent = source.hub.position
        """The reader has, or will have been sent, what lies before."""

    def begin(self, last: LogPosition | None, *, replay_ms: int) -> None:
        """Choose where to begin: after `last` if that can be, else with all newest values."""
        at = self._sent
        if last is None:
            self._queue.lose("start", at)
        elif at.continues(last):
            self._missed, self._sent = (last, at), last
            if last.epoch != at.epoch:
                self._queue.lose("lost", at)
        else:
            self._queue.lose("too_old" if at.ms - last.ms > replay_ms else "lost", at)

    def close(self) -> None:
        """Take nothing more."""
        self._source.hub.leave(self._feed, self._queue)

    def heartbeat(self) -> Event | None:
        """Return an event without changes if the log has gone on without any for this reader: an id to return with."""
        at = self._source.hub.position
        if at is None or at == self._sent or len(self._queue) or self._missed:
            return None
        self._sent = at
        return Event(at, ())

    async def outputs(self) -> AsyncIterator[list[Output]]:
        """Yield what is to be sent now, in parts."""
        if self._missed is not None:
            async for events in self._catch_up(*self._missed):
                yield events
            self._missed = None
        items = self._queue.take()
        if items:
            yield [output for item in items if (output := await self._to_output(item)) is not None]

    async def _to_output(self, item: Item) -> Output | None:
        if isinstance(item, Event):
            self._sent = item.position
        elif isinstance(item, Lagged):
            live_events.lagged(item.skipped)
        else:
            return await self._to_snapshot(item)
        return item

    async def _to_snapshot(self, lost: Lost) -> Snapshot | None:
        """Read all newest values, none of them older than the position; None if that must be tried again."""
        try:
            feed = self._feed
            shown = await self._source.snapshots.take(feed.filter, feed.names) if self._snapshot else NOTHING
        except GatewayError:
            await asyncio.sleep(AGAIN_SECS)
            self._queue.lose(lost.reason, lost.position)
            return None
        live_events.reset(lost.reason)
        self._sent = lost.position
        return Snapshot(lost.reason, lost.position, shown.states, shown.truncated)

    async def _catch_up(self, at: LogPosition, upto: LogPosition) -> AsyncIterator[list[Output]]:
        """Yield what was missed, page by page; if a part of it is not there any more, begin anew."""
        while at.offset < upto.offset:
            page, at, gap = await self._page(at, upto)
            if page:
                yield page
            if gap is not None:
                now = self._source.hub.position or upto
                self._queue.lose(gap if now.continues(upto) else "lost", now)
                return

    async def _page(self, at: LogPosition, upto: LogPosition) -> tuple[list[Output], LogPosition, Reason | None]:
        source, found = self._source, list[Output]()
        async with source.replays:
            entries = await source.log.between(at, upto)
            for entry in entries:
                if not follows(entry, at):
                    return found, at, "too_old" if entry.position.continues(at) else "lost"
                batch = LoggedBatch(entry, await source.shapes.shapes(entry.shapes))
                event = self._feed.event(batch, self._feed.rows_of(batch))
                found += [] if event is None else [event]
                at = entry.position
                await asyncio.sleep(0)
        return found, at, None if entries else "too_old"
