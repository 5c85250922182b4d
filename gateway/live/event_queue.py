"""The queue of one reader: events in order, as long as they fit. Pure; bounded in events and bytes.

When more comes than fits, all that waits is folded into the newest value of each series (a metric of a device), and the
reader hears how many values it does not see. When not even those fit, or changes were lost on the way, it is told to
begin anew from all newest values.
"""

from collections import deque
from collections.abc import Callable

from gateway.domain.changes import Change, LogPosition
from gateway.domain.model import Value
from gateway.live.events import Event, Item, Lagged, Lost, Reason

MAX_EVENTS = 1000
SERIES_BYTES = 250
"""What a folded value takes in memory, roughly, without its text."""

Series = tuple[str, str]
"""Device, metric."""


class EventQueue:
    """One subscription's. `wake` is called when there is something to take."""

    def __init__(self, *, max_bytes: int, wake: Callable[[], None], max_events: int = MAX_EVENTS) -> None:
        self._max_bytes = max_bytes
        self._max_events = max_events
        self._wake = wake
        self._events: deque[Event] = deque()
        self._newest: dict[Series, tuple[int, Value]] = {}
        self._folded = 0
        """Values that came into `_newest`, replaced ones included; 0: nothing is folded."""
        self._last: LogPosition | None = None
        """Of what was folded."""
        self._lost: Lost | None = None
        self.size = 0
        """Bytes that wait: of the encoded events, which readers of the same filter share, or of folded values."""

    def __len__(self) -> int:
        return len(self._events) + len(self._newest) + (self._lost is not None)

    def put(self, event: Event) -> None:
        """Add an event. An event larger than the bound is taken when nothing else waits."""
        room = len(self._events) < self._max_events and self.size + event.size <= self._max_bytes
        if not self._folded and (room or not self._events):
            self._events.append(event)
            self.size += event.size
        else:
            self._fold(event)
        self._wake()

    def lose(self, reason: Reason, position: LogPosition) -> None:
        """Forget what waits: the reader must begin anew, from all newest values. What comes then follows them."""
        self._clear()
        self._lost = Lost(reason, position)
        self._wake()

    def take(self) -> list[Item]:
        """Return all that waits, in the order in which it is to be sent."""
        items: list[Item] = [] if self._lost is None else [self._lost]
        items += self._events
        if self._folded and self._last is not None:
            items += [Lagged(self._folded - len(self._newest)), Event(self._last, self._unfold())]
        self._clear()
        return items

    def _fold(self, event: Event) -> None:
        waiting = [*self._events, event]
        if self._events:
            self._events.clear()
            self.size = 0
        for each in waiting:
            for change in each.changes:
                self._note(change)
        self._last = event.position
        if self.size > self._max_bytes:
            self.lose("lost", event.position)

    def _note(self, change: Change) -> None:
        for metric, value in change.values.items():
            series = change.device, metric
            there = self._newest.get(series)
            self._folded += 1
            if there is not None and there[0] > change.time_us:
                continue
            self._newest[series] = change.time_us, value
            self.size += _text_bytes(value)
            self.size += SERIES_BYTES if there is None else -_text_bytes(there[1])

    def _unfold(self) -> list[Change]:
        """Form changes again: values of one device and time belong together."""
        found: dict[tuple[str, int], dict[str, Value]] = {}
        for (device, metric), (time_us, value) in self._newest.items():
            found.setdefault((device, time_us), {})[metric] = value
        return [Change(device, time_us, found[device, time_us]) for device, time_us in sorted(found, key=_by_time)]

    def _clear(self) -> None:
        self._events.clear()
        self._newest = {}
        self._folded = self.size = 0
        self._last = self._lost = None


def _text_bytes(value: Value) -> int:
    return len(value) if isinstance(value, str) else 0


def _by_time(key: tuple[str, int]) -> int:
    return key[1]
