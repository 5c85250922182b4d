"""What is told of stored readings, as types. Rows and series stand in them as JSON that is made already: it is much."""

from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from gateway.domain.model import Kind
from gateway.web.handlers.history_query import Function
from gateway.web.http.fields import Duration, Moment, NextCursor, Strict, Value

Column = list[Value | None] | UnsetType
Numbers = list[float | str | None] | UnsetType
"""Text only where ints are asked for as strings."""


class Reading(Strict, frozen=True):
    """What a device said at one time; it can be posted in again."""

    device: str
    ts: Moment
    values: dict[str, Value]


class NamedSeries(Strict, frozen=True):
    """A metric of a device in one kind."""

    device: str
    metric: str
    kind: Kind


class Buckets(NamedSeries, frozen=True, kw_only=True):
    """A series cut into buckets, as columns of one length."""

    ts: Annotated[list[int], Meta(description="Where each bucket begins, in epoch milliseconds.")]
    avg: Numbers = UNSET
    min: Column = UNSET
    max: Column = UNSET
    sum: Numbers = UNSET
    count: Numbers = UNSET
    first: Column = UNSET
    last: Column = UNSET
    p50: Numbers = UNSET
    p95: Numbers = UNSET
    out_of_range: Annotated[
        list[Function] | UnsetType, Meta(description="Functions of which a null is beyond every double.")
    ] = UNSET


class Points(NamedSeries, frozen=True, kw_only=True):
    """A series thinned for a chart, as columns of one length."""

    ts: Annotated[list[float], Meta(description="Epoch milliseconds; microseconds are their fraction.")]
    value: list[Value]
    truncated: Annotated[
        bool | UnsetType, Meta(description="True where a bool or a text changed too often to show all of it.")
    ] = UNSET


class HistoryOf(Strict, frozen=True, kw_only=True, rename={"start": "from", "end": "to"}):
    """What an answer is about."""

    device: Annotated[str | UnsetType, Meta(description="Where the path names it.")] = UNSET
    devices: Annotated[list[str] | UnsetType, Meta(description="Where `device` does.")] = UNSET
    start: Moment
    end: Annotated[Moment, Meta(description="Exclusive.")]


class ReadingPage(HistoryOf, frozen=True, kw_only=True):
    """Rows as they were stored."""

    readings: list[Reading]
    next_cursor: NextCursor


class BucketSeries(HistoryOf, frozen=True, kw_only=True):
    """Series in buckets (`every=`)."""

    every: Duration
    tz: str
    fn: list[Function]
    series: list[Buckets]
    left_out: Annotated[
        list[NamedSeries] | UnsetType, Meta(description="Series of texts, of which nothing asked can be told.")
    ] = UNSET
    next_cursor: NextCursor = None


class PointSeries(HistoryOf, frozen=True, kw_only=True):
    """Series thinned to some points (`points=`)."""

    points: int
    series: list[Points]
    left_out: list[NamedSeries] | UnsetType = UNSET
    next_cursor: NextCursor = None
