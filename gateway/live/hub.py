"""The hub: the fan-out of one worker, batches → queues. Pure; its cost is per match, not per reader and message.

Readers with equal filters share a feed: what they are sent is picked and encoded once. Feeds that name devices, or have
resolved their tags to devices, are found by device; the others see everything.
"""

from collections.abc import Collection

from gateway.core.errors import TooManyStreams
from gateway.domain.changes import LogPosition
from gateway.live.event_queue import EventQueue
from gateway.live.events import Event, Reason
from gateway.live.filters import Filter, LoggedBatch
from gateway.telemetry import live_events

MAX_INDEXED = 2_000_000
"""Devices named by all feeds together, about 150 bytes each."""


class Feed:
    """What readers of one filter are sent."""

    def __init__(self, wanted: Filter, names: frozenset[str] | None) -> None:
        self.filter = wanted
        self.names = names
        """The devices that match; None: all."""
        self.queues: set[EventQueue] = set()

    def rows_of(self, batch: LoggedBatch) -> Collection[int]:
        """Return which messages of a batch are of its devices."""
        devices, names = batch.logged.devices, self.names
        return range(len(devices)) if names is None else [i for i, device in enumerate(devices) if device in names]

    def event(self, batch: LoggedBatch, rows: Collection[int]) -> Event | None:
        """Return what the readers are sent of these messages; None if nothing."""
        changes = batch.changes(rows, self.filter.metrics)
        return Event(batch.logged.position, changes) if changes else None


class Hub:
    """The feeds of one worker, and how far the log has been read."""

    def __init__(self) -> None:
        self.position: LogPosition | None = None
        """None: the log is not being read."""
        self._feeds: dict[Filter, Feed] = {}
        self._everything: set[Feed] = set()
        self._by_device: dict[str, list[Feed]] = {}
        self._indexed = 0

    def __len__(self) -> int:
        """Return how many queues there are."""
        return sum([len(feed.queues) for feed in self._feeds.values()])

    @property
    def feeds(self) -> Collection[Feed]:
        """All feeds."""
        return self._feeds.values()

    def join(self, wanted: Filter, names: frozenset[str] | None, queue: EventQueue) -> Feed:
        """Have a queue filled from now on. Raises TooManyStreams if too many devices are named already."""
        feed = self._feeds.get(wanted)
        if feed is None:
            feed = Feed(wanted, names)
            self._index(feed)
            self._feeds[wanted] = feed
        feed.queues.add(queue)
        return feed

    def leave(self, feed: Feed, queue: EventQueue) -> None:
        """Fill a queue no more."""
        feed.queues.discard(queue)
        if not feed.queues and self._feeds.get(feed.filter) is feed:
            self._unindex(feed)
            del self._feeds[feed.filter]

    def rename(self, feed: Feed, names: frozenset[str]) -> bool:
        """Let a feed have other devices from now on. False if they are too many: then it keeps what it has."""
        if self._feeds.get(feed.filter) is not feed:
            return True
        before = feed.names
        self._unindex(feed)
        try:
            feed.names = names
            self._index(feed)
        except TooManyStreams:
            feed.names = before
            self._index(feed)
            return False
        return True

    def publish(self, batch: LoggedBatch) -> int:
        """Put a batch into every queue that wants a part of it; return into how many."""
        rows: dict[Feed, Collection[int]] = dict.fromkeys(self._everything, range(len(batch.logged.devices)))
        picked: dict[Feed, list[int]] = {}
        if self._by_device:
            for i, device in enumerate(batch.logged.devices):
                for feed in self._by_device.get(device, ()):
                    picked.setdefault(feed, []).append(i)
        self.position = batch.logged.position
        return sum([self._deliver(feed, batch, taken) for feed, taken in (*rows.items(), *picked.items())])

    def lose(self, reason: Reason, position: LogPosition) -> None:
        """Tell every reader that changes before this position are missing."""
        self.position = position
        for feed in self._feeds.values():
            for queue in feed.queues:
                queue.lose(reason, position)

    def _deliver(self, feed: Feed, batch: LoggedBatch, rows: Collection[int]) -> int:
        event = feed.event(batch, rows)
        if event is None:
            return 0
        for queue in feed.queues:
            queue.put(event)
        return len(feed.queues)

    def _index(self, feed: Feed) -> None:
        if feed.names is None:
            self._everything.add(feed)
            return
        if self._indexed + len(feed.names) > MAX_INDEXED:
            live_events.refused("devices in filters")
            raise TooManyStreams("the streams open here name too many devices together", limit="devices in filters")
        self._indexed += len(feed.names)
        for name in feed.names:
            self._by_device.setdefault(name, []).append(feed)

    def _unindex(self, feed: Feed) -> None:
        self._everything.discard(feed)
        for name in feed.names or ():
            feeds = self._by_device[name]
            feeds.remove(feed)
            if not feeds:
                del self._by_device[name]
        self._indexed -= len(feed.names or ())
