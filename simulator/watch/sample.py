"""The sample of devices that are watched, and when each of their readings was seen first, in grids. Pure.

A device's readings form a grid, message x metric, as in `verify.audit`. Memory is bounded by the cells of all grids.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from simulator.core.chance import Ints, hash_name
from simulator.plan.faults import Fault
from simulator.plan.metrics import Value
from simulator.plan.plan import Part, Plan
from simulator.verify.audit import flip_of, is_same

MAX_CELLS = 2_000_000
"""Readings of all watched devices, 24 bytes each."""
MAX_NAMES = 6_000
"""Bytes of their names: they stand in the address of a stream."""
_US_IN_MS = 1_000
_WATCH = "watch"

SeenAt = npt.NDArray[np.float64]
"""Seconds on the run's clock; infinity is never."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A reading: the n-th message of a watched device, and which of its metrics."""

    n: int
    metric: int


class Watched:
    """One device. `state_at` and `stream_at` hold when each reading itself was seen first; a newer one is another."""

    def __init__(self, part: Part, device: int) -> None:
        self.part = part
        self.device = device
        self.name = part.fleet.name(device)
        lane = part.lane
        self._metrics = {metric.name: i for i, metric in enumerate(part.fleet.metrics)}
        self._said = _said(part, device)
        self.state_at: SeenAt = np.full((lane.depth, lane.metrics), math.inf)
        self.stream_at: SeenAt = np.full((lane.depth, lane.metrics), math.inf)

    def find(self, metric: str, time_us: int | None, value: object) -> Cell | None:
        """Return which reading this is, None if we never said so."""
        position, lane = self._metrics.get(metric), self.part.lane
        if position is None or time_us is None:
            return None
        n, rest = divmod(time_us - lane.time_ms(0) * _US_IN_MS, lane.step_ms * _US_IN_MS)
        if rest or not 0 <= n < lane.depth:
            return None
        place = Cell(n, position)
        return place if is_same(value, self.value(place)) else None

    @cached_property
    def due(self) -> SeenAt:
        """When each message is to be sent, in seconds from the start of its part, late or out of order as it may be.

        Infinity for those beyond the end of the run.
        """
        lane, draw = self.part.lane, self.part.draw
        posts = _posts_of(self.part, self.device)
        inside = [post for post in np.unique(posts).tolist() if post < lane.posts]
        # Two posts that change places do nothing else, so the slot of a post is the post of that slot.
        due = {post: self.part.timetable.due(draw.post_at(post)[0]) for post in inside}
        return np.array([due.get(post, math.inf) for post in posts.tolist()], dtype=np.float64)

    @cached_property
    def phases(self) -> list[int]:
        """Which phase each message belongs to."""
        lane, draw = self.part.lane, self.part.draw
        posts = np.minimum(_posts_of(self.part, self.device), lane.posts - 1).tolist()
        phase = {post: self.part.timetable.phase_of(draw.post_at(post)[0]) for post in sorted(set(posts))}
        return [phase[post] for post in posts]

    def metric(self, position: int) -> str:
        """Return the name of a metric."""
        return self.part.fleet.metrics[position].name

    def time_us(self, n: int) -> int:
        """Return the time of the n-th message, in µs since 1970."""
        return self.part.lane.time_ms(n) * _US_IN_MS

    def value(self, place: Cell) -> Value:
        """Return what a reading says."""
        said: Value = self._said[place.metric][place.n : place.n + 1].tolist()[0]
        return said


def choose(plan: Plan) -> list[Watched]:
    """Return the devices that a run watches: spread over fleets and transports, and within them, by the seed."""
    parts = plan.parts()
    groups: dict[tuple[str, str], list[Part]] = {}
    for part in parts:
        groups.setdefault((part.title, part.lane.transport), []).append(part)
    shares = _shared(plan.scenario.watch, [sum(p.lane.devices for p in group) for group in groups.values()])
    chosen: list[Watched] = []
    cells = names = 0
    for group, share in zip(groups.values(), shares, strict=True):
        for part, device in _spread(group, share, seed=plan.scenario.seed):
            cells += part.lane.depth * part.lane.metrics
            names += len(part.fleet.name(device)) + 1
            if cells > MAX_CELLS or names > MAX_NAMES:
                return chosen
            chosen.append(Watched(part, device))
    return chosen


def _shared(count: int, sizes: Sequence[int]) -> list[int]:
    """Share a number of devices among groups, evenly, as far as each has so many."""
    shares = [0] * len(sizes)
    while count and any(share < size for share, size in zip(shares, sizes, strict=True)):
        for i, size in enumerate(sizes):
            if count and shares[i] < size:
                shares[i] += 1
                count -= 1
    return shares


def _spread(group: Sequence[Part], count: int, *, seed: int) -> Iterator[tuple[Part, int]]:
    """Yield so many devices of a group, equally far apart; the seed decides where they begin."""
    first, total = group[0].lane.first, sum(part.lane.devices for part in group)
    offset = hash_name(f"{_WATCH}/{group[0].title}/{group[0].lane.transport}", seed=seed) % total
    for i in range(count):
        device = first + (offset + i * total // count) % total
        yield next((p, device) for p in group if p.lane.first <= device < p.lane.first + p.lane.devices)


def _posts_of(part: Part, device: int) -> Ints:
    n = np.arange(part.lane.depth, dtype=np.int64)
    return np.asarray(part.lane.post_of(np.array([device], dtype=np.int64), n))


def _said(part: Part, device: int) -> list[npt.NDArray[Any]]:
    """Return what a device says, by metric and message: with the readings that are flipped on purpose as such."""
    fleet, lane, draw = part.fleet, part.lane, part.draw
    n, number = np.arange(lane.depth, dtype=np.int64), np.array([device], dtype=np.int64)
    said = [metric.values(fleet.codes(i, number, n)) for i, metric in enumerate(fleet.metrics)]
    if draw.assumed.kind_change == "refuse":
        return said
    posts = draw.having(Fault.TYPE_FLIP, np.unique(_posts_of(part, device)))
    messages, metrics = np.divmod(draw.readings(posts), lane.metrics)
    devices, places = lane.said_by(posts * lane.messages + messages)
    for at in np.flatnonzero(devices == device).tolist():
        metric = int(metrics[at])
        if places[at] < lane.depth:
            said[metric] = said[metric].astype(object)
            said[metric][places[at]] = flip_of(fleet.metrics[metric])
    return said
