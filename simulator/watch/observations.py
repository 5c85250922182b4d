"""Observations of the watched devices: answers and events in, what was seen first and what cannot be right out. No I/O.

Written from docs/http-api.md, "The newest state" and "Live changes"; trusts nothing it is told.
"""

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from simulator.core.json_objects import object_of
from simulator.core.times import to_us
from simulator.plan.fleet import Transport
from simulator.send.pacing import Clock
from simulator.verify.findings import Findings, Problem
from simulator.verify.states import States
from simulator.watch.sample import Cell, SeenAt, Watched
from simulator.watch.stream import SseEvent

_IDS = 10_000
"""Ids of events that are remembered, to see whether one comes again."""


class Observations:
    """The observations of one run."""

    def __init__(self, watched: Sequence[Watched], *, clock: Clock) -> None:
        self.watched = watched
        self.resets: Counter[str] = Counter()
        """By reason."""
        self.skipped = 0
        """Values that the stream says it left out (`lagged`)."""
        self.forgiven_until = 0.0
        """What was sent before was not promised to be shown one by one: the stream began anew then, or said so."""
        self.news_at = clock()
        """When something was seen last that had not been seen before."""
        self.wrong: dict[Transport, Findings] = {}
        """By transport: what the stream showed and nobody said."""
        self._by_name = {one.name: one for one in watched}
        self._clock = clock
        self._shown: dict[tuple[str, str], object] = {}
        self._ids: deque[str] = deque(maxlen=_IDS)
        self._known_ids: set[str] = set()

    @property
    def has_begun(self) -> bool:
        """Whether the stream has shown the newest values it begins with."""
        return bool(self.resets)

    def take_states(self, states: States) -> None:
        """Take in what the state shows now."""
        now = self._clock()
        for name, metrics in states.items():
            for metric, shown in _entries(metrics) if name in self._by_name else ():
                self._take_shown(name, metric, shown, now)

    def _take_shown(self, name: str, metric: str, shown: object, now: float) -> None:
        if not isinstance(shown, dict) or self._shown.get((name, metric)) == shown.get("ts"):
            return
        self._shown[name, metric] = shown.get("ts")
        one = self._by_name[name]
        place = one.find(metric, to_us(shown.get("ts")), shown.get("value"))
        if place is not None:
            self._mark(one.state_at, place, now)

    def take_event(self, event: SseEvent) -> None:
        """Take in an event of the stream."""
        data = object_of(event.data)
        match event.kind:
            case "change":
                self._take_changes(event, data)
            case "reset":
                self._take_reset(data)
            case "lagged":
                skipped = data.get("skipped")
                self.skipped += skipped if isinstance(skipped, int) else 0
                self.forgiven_until = self._clock()

    def _take_reset(self, data: dict[str, Any]) -> None:
        """Take in newest values; some of them may be of before the run, so none of them is unexpected."""
        now = self._clock()
        if self.has_begun:
            self.forgiven_until = now
        self.resets[str(data.get("reason"))] += 1
        for name, metrics in _entries(data.get("states")):
            one = self._by_name.get(name)
            if one is None:
                continue
            for metric, shown in _entries(metrics):
                newest = dict(_entries(shown))
                place = one.find(metric, to_us(newest.get("ts")), newest.get("value"))
                if place is not None:
                    self._mark(one.stream_at, place, now)

    def _take_changes(self, event: SseEvent, data: dict[str, Any]) -> None:
        now = self._clock()
        changes = data.get("changes")
        is_again = bool(changes) and self._is_again(event.id)
        for change in changes if isinstance(changes, list) else ():
            if isinstance(change, dict) and (one := self._by_name.get(str(change.get("device")))):
                self._take_change(one, change, now, is_again=is_again)

    def _take_change(self, one: Watched, change: Mapping[str, Any], now: float, *, is_again: bool) -> None:
        time_us = to_us(change.get("ts"))
        for metric, value in _entries(change.get("values")):
            place = one.find(metric, time_us, value)
            if place is None:
                self._note(one, metric, time_us, f"the stream shows {value!r}, which was never said")
            elif is_again:
                self._note(one, metric, time_us, "the stream shows the same event again")
            else:
                self._mark(one.stream_at, place, now)

    def _mark(self, seen_at: SeenAt, place: Cell, now: float) -> None:
        """Note an observation, if it is the first of this reading."""
        if now < seen_at[place.n, place.metric]:
            seen_at[place.n, place.metric] = self.news_at = now

    def _is_again(self, number: str) -> bool:
        """Whether an event of this id was there; remembers it."""
        if not number:
            return False
        if number in self._known_ids:
            return True
        if len(self._ids) == _IDS:
            self._known_ids.discard(self._ids[0])
        self._ids.append(number)
        self._known_ids.add(number)
        return False

    def _note(self, one: Watched, metric: str, time_us: int | None, detail: str) -> None:
        findings = self.wrong.setdefault(one.part.lane.transport, Findings())
        findings.stream_wrong += 1
        findings.note(Problem("stream wrong", one.name, metric, time_us or 0, detail))


def _entries(found: object) -> Iterable[tuple[str, Any]]:
    """Return what is in an object of JSON; nothing if it is none."""
    return found.items() if isinstance(found, dict) else ()
