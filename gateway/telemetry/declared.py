"""Declared series: a metric and every value its labels may have → its series, there from the start. Counts nothing.

A series that appears with its first count hides that count from Prometheus: `increase()` needs a zero to rise from.
With PROMETHEUS_MULTIPROC_DIR set before this module is imported, each process writes its numbers to a file there.
"""

import os
from collections.abc import Iterable
from functools import partial
from typing import Final, Generic, TypeVar

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client import values as prometheus_values

from gateway.telemetry import MULTIPROC_ENV

if MULTIPROC_ENV in os.environ:
    # The library asks for the process id at every count, in case of a fork: a system call each. Ours are spawned.
    prometheus_values.ValueClass = prometheus_values.MultiProcessValue(partial(int, os.getpid()))  # type: ignore[no-untyped-call]

OPEN: Final = None
"""Said in place of values that cannot be known beforehand: such a series begins with its first count."""
UNDECLARED: set[tuple[str, tuple[str, ...]]] = set()
"""What was counted under labels that are not declared; tests fail if there is any. As bounded as the labels are."""

Child = TypeVar("Child", Counter, Gauge)
Labels = tuple[str, ...]


def name_of(metric: Counter | Gauge | Histogram) -> str:
    """Return the name under which a metric's values appear; those of a histogram have it as their beginning."""
    (family,) = metric.describe()
    return f"{family.name}_total" if isinstance(metric, Counter) else family.name


class Bound(dict[Labels, Child], Generic[Child]):
    """The children of a metric by label values: looked up once (1.7 µs), then kept (0.9 µs to count)."""

    def __init__(self, metric: Child, values: Iterable[Labels] | None) -> None:
        """`values` are all that the labels may have together, or OPEN."""
        super().__init__()
        self.metric: Child = metric
        self.sample = name_of(metric)
        """The name under which its values appear in `samples`."""
        self.values_open = values is OPEN
        self.declared: dict[Labels, None] = dict.fromkeys(values or ())
        _all.append(self)

    def declare(self, values: Iterable[Labels]) -> None:
        """Add values that only a higher layer knows, such as routes; before `begin_at_zero`."""
        self.declared |= dict.fromkeys(values)

    def __missing__(self, labels: Labels) -> Child:
        if not self.values_open and labels not in self.declared:
            UNDECLARED.add((self.sample, labels))
        child: Child = self.metric.labels(*labels)
        self[labels] = child
        return child


_all: "list[Bound[Counter] | Bound[Gauge]]" = []


def bounds() -> "list[Bound[Counter] | Bound[Gauge]]":
    """Return every labelled metric."""
    return list(_all)


def begin_at_zero() -> None:
    """Let every series that is declared exist in this process."""
    for bound in _all:
        for labels in bound.declared:
            bound[labels]
