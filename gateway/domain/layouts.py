"""Layouts: keys of posted messages → numbers: each order of keys is looked at once, and then costs one dict look-up.

Process-wide and append-only, hence bounded: past the bounds `define` says None and the caller sorts the keys, which is
always allowed while the metric set itself is new enough to fit.
"""

import copy
from collections.abc import Iterable
from typing import Self

from gateway.domain.model import Kind, Layout, Metric, Shape
from gateway.domain.names import METRIC_NAME

MAX_LAYOUTS = 65_536
"""Layouts one process knows."""
MAX_WIDTH = 2_000_000
"""Metrics in all of them together, about 200 bytes each."""
MAX_METRICS = 10_000
"""Metrics in one message."""
MAX_ORDERS = 16
"""Orders of the same metrics kept apart; devices that shuffle their keys fall back to sorted ones."""

COLUMNS = ((Kind.DOUBLE, Kind.BOOL), (Kind.INT,), (Kind.TEXT,))
"""The kinds each of the three stored arrays holds."""

type_kinds: dict[type, Kind] = {float: Kind.DOUBLE, int: Kind.DOUBLE, bool: Kind.BOOL, str: Kind.TEXT}


class _Table(list[Layout]):
    """Layouts by their numbers."""

    __slots__ = ("width",)

    def __init__(self) -> None:
        super().__init__()
        self.width = 0
        """Metrics over all layouts."""


class Layouts:
    """The layouts this process has seen. `numbers` and `typed` are read directly on the hot path."""

    def __init__(self) -> None:
        self.numbers: dict[tuple[str, ...], int] = {}
        """Names in posted order, every value a double → number."""
        self.typed: dict[tuple[tuple[str, ...], tuple[type, ...]], int] = {}
        """(names, Python types of the values) → number."""
        self.table = _Table()
        self._by_metrics: dict[tuple[Metric, ...], int] = {}
        self._orders: dict[Shape, int] = {}
        self._ints: frozenset[str] = frozenset()

    def make_room(self) -> None:
        """Begin a new table when this one is half full, so that whoever comes next finds room. Old batches keep theirs.

        Names come in before anything is known of their sender's rights, hence a bound that heals by itself.
        """
        if len(self.table) * 2 >= MAX_LAYOUTS or self.table.width * 2 >= MAX_WIDTH:
            self.table = _Table()
            self.numbers, self.typed, self._by_metrics, self._orders = {}, {}, {}, {}

    def pinned(self) -> Self:
        """Return the same layouts, of which nothing is taken away: for work that others of the loop come between.

        What either learns the other knows, until a new table begins or other metrics are declared as int.
        """
        return copy.copy(self)

    def declare_ints(self, names: Iterable[str]) -> None:
        """Set the metric names whose integers are stored exactly (kind `int`); known keys are looked at again."""
        fresh = frozenset(names)
        if fresh != self._ints:
            self._ints = fresh
            self.numbers, self.typed = {}, {}

    def kind(self, name: str, kind: type) -> Kind:
        """Return the kind in which a value of this Python type is stored under this name."""
        return Kind.INT if kind is int and name in self._ints else type_kinds[kind]

    def number(self, names: tuple[str, ...]) -> int | None:
        """Return the number for names whose values are all doubles; None if that cannot be said without their types."""
        found = self.numbers.get(names)
        if found is None and self._ints.isdisjoint(names):
            found = self.define(tuple(Metric(name, Kind.DOUBLE) for name in names))
            if found is not None:
                self.numbers[names] = found
        return found

    def number_typed(self, names: tuple[str, ...], types: tuple[type, ...]) -> int | None:
        """Return the number for names with values of these Python types (bool, int, float, str)."""
        key = (names, types)
        found = self.typed.get(key)
        if found is None:
            found = self.define(tuple(Metric(n, self.kind(n, t)) for n, t in zip(*key, strict=True)))
            if found is not None:
                if len(self.typed) >= MAX_LAYOUTS:  # 21 and 21.5 make two keys of one layout
                    self.typed.clear()
                self.typed[key] = found
        return found

    def define(self, metrics: tuple[Metric, ...]) -> int | None:
        """Return the number of the layout with these metrics in this order, making it if there is room.

        None: a name is malformed, a metric stands twice, there are too many, or the bounds are reached.
        """
        found = self._by_metrics.get(metrics)
        if found is not None:
            return found
        if not 0 < len(metrics) <= MAX_METRICS or len(set(metrics)) < len(metrics):
            return None
        if len(self.table) >= MAX_LAYOUTS or self.table.width + len(metrics) > MAX_WIDTH:
            return None
        if not all(METRIC_NAME.fullmatch(metric.name) for metric in metrics):
            return None
        layout = to_layout(len(self.table), metrics)
        orders = self._orders.get(layout.shape, 0)
        if orders >= MAX_ORDERS and metrics != tuple(sorted(metrics)):
            return None
        self._orders[layout.shape] = orders + 1
        self._by_metrics[metrics] = layout.number
        self.table.append(layout)
        self.table.width += layout.width
        return layout.number


def to_layout(number: int, metrics: tuple[Metric, ...]) -> Layout:
    """Group metrics by the column they are stored in."""
    groups = [tuple(i for i, m in enumerate(metrics) if m.kind in kinds) for kinds in COLUMNS]
    doubles, ints, texts = groups
    shape = Shape(*(tuple(sorted(metrics[i] for i in group)) for group in groups))
    stored = (_order(metrics, doubles), _order(metrics, ints), _order(metrics, texts))
    return Layout(number, metrics, doubles, ints, texts, shape, stored)


def _order(metrics: tuple[Metric, ...], group: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(range(len(group)), key=lambda i: metrics[group[i]]))
