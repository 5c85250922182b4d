"""A mailbox against what it must show whatever comes: all in order while it fits, else every newest value."""

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gateway.domain.changes import Change, LogPosition
from gateway.domain.model import Value
from gateway.live.event_queue import SERIES_BYTES, EventQueue
from gateway.live.events import Event, Lagged, Lost

Series = tuple[str, str]
CHANGES = st.lists(
    st.builds(
        Change,
        st.sampled_from(["d1", "d2", "d3"]),
        st.integers(0, 5),
        st.dictionaries(st.sampled_from("abc"), st.one_of(st.floats(0, 9), st.text(max_size=40)), min_size=1),
    ),
    min_size=1,
    max_size=4,
)


class Reading(RuleBasedStateMachine):
    """One mailbox, and what its reader ought to have."""

    @initialize(max_bytes=st.integers(60, 4000), max_events=st.integers(1, 5))
    def open(self, max_bytes: int, max_events: int) -> None:
        self.woken = 0
        self.queue = EventQueue(max_bytes=max_bytes, max_events=max_events, wake=self._wake)
        self.max_bytes = max_bytes
        self.largest = 0
        self.waiting: list[Event] = []
        self.truth: dict[Series, tuple[int, Value]] = {}
        """What a reader must have that has taken everything."""
        self.has: dict[Series, tuple[int, Value]] = {}
        self.offset = self.lost_at = 0
        self.last_id = -1

    def _wake(self) -> None:
        self.woken += 1

    @rule(changes=CHANGES)
    def put(self, changes: list[Change]) -> None:
        self.offset += 1
        event = Event(LogPosition("epoch000", self.offset, 0), changes)
        self.largest = max(self.largest, event.size)
        was_empty, before = not len(self.queue), self.woken
        self.queue.put(event)
        assert self.woken > before or not was_empty
        self.waiting.append(event)
        for change in changes:
            _apply(self.truth, change)

    @rule(reason=st.sampled_from(["lost", "too_old"]))
    def lose(self, reason: str) -> None:
        self.queue.lose(reason, LogPosition("epoch000", self.offset, 0))  # type: ignore[arg-type]
        self.waiting, self.lost_at = [], self.offset

    @rule()
    def take(self) -> None:
        items = self.queue.take()
        assert not len(self.queue)
        assert self.queue.size == 0
        if items and isinstance(items[0], Lost):
            self.has = dict(self.truth)  # a snapshot, read later than all that waits
            if items[0].position.offset != self.lost_at:  # too much waited
                self.waiting = [each for each in self.waiting if each.position.offset > items[0].position.offset]
        rest = [item for item in items if not isinstance(item, Lost)]
        assert [item for item in items[1:] if isinstance(item, Lost)] == []
        if len(rest) > 1 and isinstance(rest[0], Lagged):
            lagged, event = rest
            assert isinstance(lagged, Lagged)
            assert isinstance(event, Event)
            self._fold(lagged, event)
        else:
            assert rest == self.waiting  # all of it, in order, unchanged
        for item in items:
            self._follow(item)
        assert self.has == self.truth
        self.waiting = []

    def _fold(self, lagged: Lagged, event: Event) -> None:
        shown = [(change.device, metric) for change in event.changes for metric in change.values]
        assert len(shown) == len(set(shown))  # one value of each series
        put = sum(len(change.values) for each in self.waiting for change in each.changes)
        assert lagged.skipped == put - len(shown)
        times = [change.time_us for change in event.changes]
        assert times == sorted(times)

    def _follow(self, item: Event | Lagged | Lost) -> None:
        if isinstance(item, Lagged):
            return
        assert item.position.offset > self.last_id or isinstance(item, Lost)
        self.last_id = max(self.last_id, item.position.offset)
        if isinstance(item, Event):
            for change in item.changes:
                _apply(self.has, change)

    @invariant()
    def bounded(self) -> None:
        if hasattr(self, "mailbox"):
            assert self.queue.size <= max(self.max_bytes, self.largest) + SERIES_BYTES


def _apply(known: dict[Series, tuple[int, Value]], change: Change) -> None:
    """As a reader does that shows newest values: not older than what it has."""
    for metric, value in change.values.items():
        there = known.get((change.device, metric))
        if there is None or there[0] <= change.time_us:
            known[change.device, metric] = change.time_us, value


Reading.TestCase.settings = hypothesis_settings(max_examples=60, stateful_step_count=30, deadline=None)
TestMailbox = Reading.TestCase
