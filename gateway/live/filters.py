"""Filters: what a reader wants to see, as a value: equal ones share their work. Pure."""

from collections.abc import Collection, Mapping

import msgspec

from gateway.domain.changes import Change, Logged
from gateway.domain.devices import Tag
from gateway.domain.model import Kind, Shape, Value

MAX_DEVICES = 1000
"""Devices that a filter may name."""
MAX_METRICS = 500
MAX_TAGS = 20


class Filter(msgspec.Struct, frozen=True):
    """Which changes: every condition that is not None (or empty, for tags) must hold."""

    devices: frozenset[str] | None = None
    metrics: frozenset[str] | None = None
    tags: frozenset[Tag] = frozenset()


class LoggedBatch:
    """A logged batch with its shapes: each message is unpacked once, whoever asks, and only if somebody does."""

    def __init__(self, logged: Logged, shapes: Mapping[int, Shape]) -> None:
        self.logged = logged
        self._shapes = shapes
        self._whole: dict[int, Change | None] = {}

    def change(self, i: int, metrics: frozenset[str] | None) -> Change | None:
        """Return what one message says about these metrics (None: all); None if nothing."""
        if i not in self._whole:
            self._whole[i] = self._unpack(i)
        change = self._whole[i]
        if change is None or metrics is None:
            return change
        values = {name: value for name, value in change.values.items() if name in metrics}
        return change._replace(values=values) if values else None

    def changes(self, rows: Collection[int], metrics: frozenset[str] | None) -> list[Change]:
        """Return what these messages say about these metrics."""
        return [change for change in [self.change(i, metrics) for i in rows] if change is not None]

    def _unpack(self, i: int) -> Change | None:
        message = self.logged.message(i)
        shape = self._shapes.get(message.shape_id)
        if shape is None:
            return None
        row: tuple[Value, ...] = (*message.doubles, *message.ints, *message.texts)
        values = {
            metric.name: bool(value) if metric.kind is Kind.BOOL else value
            for metric, value in zip(shape.metrics, row, strict=True)
        }
        return Change(self.logged.devices[i], message.time_us, values)
