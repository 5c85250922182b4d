"""History as types: spans of time, rows, series, and what is asked of them. No I/O, no clock.

A *row* is what a device said at one time. A *series* is one metric of one device in one kind. Times are microseconds
since 1970 UTC everywhere; a span holds its start and not its end.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from gateway.domain.model import Kind, Value

FUNCTIONS = ("avg", "min", "max", "sum", "count", "first", "last", "p50", "p95")
"""What may be asked of a bucket."""
TEXT_FUNCTIONS = ("count", "first", "last")
"""What may be asked of a bucket of texts."""
MAX_BUCKETS = 10_000
"""Buckets of one series."""
MAX_CHANGES = 10_000
"""Changes of a bool or a text that one chart shows."""

Column = Sequence[Value | None]
Fill = Literal["none", "null", "prev"]


class Span(NamedTuple):
    """From `start_us` to before `end_us`."""

    start_us: int
    end_us: int


class HistoryRow(NamedTuple):
    """What a device said at one time: one message, without what an older shape said of the same time."""

    device: str
    time_us: int
    values: dict[str, Value]


class RowPosition(NamedTuple):
    """Where a listing goes on: after this time, this device, and these shapes at that time."""

    time_us: int
    device_id: int
    shape_ids: list[int]
    """Shapes of the device that were looked at for this time, ascending; their metrics are told already."""


class Order(NamedTuple):
    """Which rows are wanted, and in which order: by time, then device, then age of the shape."""

    span: Span
    descending: bool = False
    after: RowPosition | None = None


class RowPage(NamedTuple):
    """A part of a listing."""

    rows: list[HistoryRow]
    last: RowPosition | None
    """Where the next page begins; None at the end."""


class SeriesName(NamedTuple):
    """One metric of one device, in one kind."""

    device: str
    metric: str
    kind: Kind


class Series(NamedTuple):
    """Values over time: a list for each column, as long as `times`."""

    name: SeriesName
    times: Sequence[int]
    columns: Mapping[str, Column]
    truncated: bool = False
    """A chart of changes that shows only the newest of them."""


class SeriesQuery(NamedTuple):
    """What is wanted of each bucket."""

    functions: Sequence[str]
    fill: Fill = "none"


class SeriesAnswer(NamedTuple):
    """Series, and the names of those that cannot say what was asked."""

    series: list[Series]
    left_out: list[SeriesName]
