"""The calls for stored readings, described: rows, buckets and points, in three media types."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from gateway.core.errors import Overloaded, QueryTimeout, TooManyBuckets, UnknownDevice
from gateway.domain.history import FUNCTIONS
from gateway.web.handlers.history_query import (
    DEFAULT_ROWS,
    LEAST_POINTS,
    MAX_DEVICES,
    MAX_METRICS,
    MAX_ROWS,
    MOST_POINTS,
)
from gateway.web.openapi.refusals import GUARDED, PARAMETERS, STORED
from gateway.web.openapi.state import READERS
from gateway.web.openapi.values import (
    CURSOR,
    DeviceName,
    Duration,
    MetricName,
    Moment,
    NextCursor,
    Value,
    limit,
    moment,
)
from gateway.web.openapi.words import (
    CSV,
    JSON,
    NDJSON,
    AnyOf,
    Header,
    Operation,
    Parameter,
    ResponseDoc,
    refusals,
)

Kind = Literal["double", "bool", "int", "text"]
Function = Annotated[str, Meta(extra_json_schema={"enum": list(FUNCTIONS)})]
Column = list[Value | None] | msgspec.UnsetType
Numbers = list[float | str | None] | msgspec.UnsetType
"""Text only where ints are asked for as strings."""


class Reading(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What a device said at one time; it can be posted in again."""

    device: str
    ts: Moment
    values: dict[str, Value]


class About(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """What an answer is about."""

    device: Annotated[str | msgspec.UnsetType, Meta(description="Where the path names it.")] = msgspec.UNSET
    devices: Annotated[list[str] | msgspec.UnsetType, Meta(description="Where `device` does.")] = msgspec.UNSET
    from_: Moment
    to: Annotated[Moment, Meta(description="Exclusive.")]
    next_cursor: NextCursor


class Readings(About, kw_only=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """Rows as they were stored."""

    readings: list[Reading]


class SeriesName(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A metric of a device in one kind."""

    device: str
    metric: str
    kind: Kind


class Buckets(SeriesName, kw_only=True, forbid_unknown_fields=True):
    """A series cut into buckets, as columns of one length."""

    ts: Annotated[list[int], Meta(description="Where each bucket begins, in epoch milliseconds.")]
    avg: Numbers = msgspec.UNSET
    min: Column = msgspec.UNSET
    max: Column = msgspec.UNSET
    sum: Numbers = msgspec.UNSET
    count: Numbers = msgspec.UNSET
    first: Column = msgspec.UNSET
    last: Column = msgspec.UNSET
    p50: Numbers = msgspec.UNSET
    p95: Numbers = msgspec.UNSET
    out_of_range: Annotated[
        list[Function] | msgspec.UnsetType,
        Meta(description="Functions of which a null is beyond every double."),
    ] = msgspec.UNSET


class Points(SeriesName, kw_only=True, forbid_unknown_fields=True):
    """A series thinned for a chart, as columns of one length."""

    ts: Annotated[list[float], Meta(description="Epoch milliseconds; microseconds are their fraction.")]
    value: list[Value]
    truncated: Annotated[
        bool | msgspec.UnsetType, Meta(description="True where a bool or a text changed too often to show all of it.")
    ] = msgspec.UNSET


class Cut(About, kw_only=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """Series in buckets (`every=`)."""

    every: Duration
    tz: str
    fn: list[Function]
    series: list[Buckets]
    left_out: Annotated[
        list[SeriesName] | msgspec.UnsetType, Meta(description="Series of texts, of which nothing asked can be told.")
    ] = msgspec.UNSET


class Chart(About, kw_only=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """Series thinned to some points (`points=`)."""

    points: int
    series: list[Points]
    left_out: list[SeriesName] | msgspec.UnsetType = msgspec.UNSET


ABOUT = """One of three questions. **Rows**, as they are stored: `order`, `limit`, `cursor`. **Buckets**: `every`, `fn`,
`tz`, `fill`. **Points** for a chart: `points`. `Accept` chooses JSON, NDJSON (a row a line) or CSV (long form); NDJSON
and CSV without `limit` stream the whole range."""
DEVICES = Parameter(
    "device",
    Annotated[list[DeviceName], Meta(min_length=1)],
    f"Up to {MAX_DEVICES} devices; repeated or separated by commas.",
    required=True,
    example=["d1", "d2"],
)
QUESTION = (
    Parameter(
        "metric",
        list[MetricName],
        f"Only these, up to {MAX_METRICS}; repeated or separated by commas.",
    ),
    moment("from", "Where it begins; `-1h` if left out."),
    moment("to", "Where it ends, exclusive; `now` if left out."),
    Parameter("order", Literal["asc", "desc"], "Rows: oldest or newest first."),
    limit(MAX_ROWS, default=DEFAULT_ROWS),
    CURSOR,
    Parameter("every", Duration, "Buckets: how wide; days are those of the calendar in `tz`.", example="5m"),
    Parameter("fn", list[Function], "Buckets: what of each; `avg` if left out.", example=["avg", "max"]),
    Parameter("tz", str, "Buckets: an IANA time zone; `UTC` if left out.", example="Europe/Berlin"),
    Parameter("fill", Literal["none", "null", "prev"], "Buckets: what stands in empty ones; `none` leaves them out."),
    Parameter("points", Annotated[int, Meta(ge=LEAST_POINTS, le=MOST_POINTS)], "Points: how many."),
    Parameter("bigint", Literal["number", "string"], "`string` writes metrics of kind int as strings."),
)


def _history(summary: str, *parameters: Parameter) -> Operation:
    cursor = Header("The cursor of the page after this one, where `limit` was given and there is one.")
    content = {JSON: AnyOf((Readings, Cut, Chart)), NDJSON: str, CSV: str}
    return Operation(
        summary,
        "History",
        answers=(ResponseDoc(200, "What is stored.", content, {"X-Next-Cursor": cursor}),),
        about=ABOUT,
        who=READERS,
        parameters=(*parameters, *QUESTION),
        refusals=GUARDED + PARAMETERS + STORED + refusals(UnknownDevice, TooManyBuckets, QueryTimeout, Overloaded),
    )


OPERATIONS = {
    "history": _history("History of several devices", DEVICES),
    "device_history": _history("History of a device"),
}
