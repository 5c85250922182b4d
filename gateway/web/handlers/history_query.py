"""A call for history: its parameters and its Accept header in, what is asked out. Asks no database; raises BadRequest.

Three questions share one address: rows, buckets (`every=`) and points (`points=`). A parameter of another is refused.
"""

import re
from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import Meta

from gateway.core.durations import parse_duration
from gateway.core.errors import BadRequest
from gateway.domain.buckets import Cut, to_cut
from gateway.domain.history import FUNCTIONS, Fill, Order, RowPosition, SeriesQuery, Span
from gateway.web.handlers.history_formats import CSV, JSON, NDJSON, Media
from gateway.web.http.fields import MOMENTS, Cursor, DeviceName, Duration, MetricName, SpokenMoment, Strict
from gateway.web.http.path import shown
from gateway.web.http.query import Page, made_up, to_moment, to_page

MAX_DEVICES = 100
MAX_METRICS = 500
DEFAULT_ROWS, MAX_ROWS = 1000, 10_000
LEAST_POINTS, MOST_POINTS = 3, 10_000
LAST_US = 253_370_764_800_000_000
"""9999-01-01: no reading lies beyond it, and every zone can still say it."""
_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+)*", re.ASCII)
_ROWS, _BUCKETS, _POINTS = "rows", "every=", "points="


Function = Annotated[str, Meta(extra_json_schema={"enum": list(FUNCTIONS)})]


class DeviceHistoryQuery(Strict, frozen=True, kw_only=True, rename={"start": "from", "end": "to"}):
    """What is asked of the history of a device: rows, buckets (`every`) or points (`points`)."""

    metric: Annotated[
        list[MetricName],
        Meta(
            description=f"Only these, up to {MAX_METRICS}; repeated or separated by commas.",
            extra={"most": MAX_METRICS},
        ),
    ] = msgspec.field(default_factory=list)
    start: Annotated[SpokenMoment, Meta(description=f"Where it begins; `-1h` if left out. {MOMENTS}")] = "-1h"
    end: Annotated[SpokenMoment, Meta(description=f"Where it ends, exclusive; `now` if left out. {MOMENTS}")] = "now"
    every: Annotated[
        Duration | None, Meta(description="Buckets: how wide; days are those of the calendar in `tz`.", examples=["5m"])
    ] = None
    points: Annotated[
        Annotated[int, Meta(ge=LEAST_POINTS, le=MOST_POINTS)] | None, Meta(description="Points: how many.")
    ] = None
    fn: Annotated[
        list[Function],
        Meta(
            description="Buckets: what of each; `avg` if left out.",
            examples=[["avg", "max"]],
            extra={"most": len(FUNCTIONS)},
        ),
    ] = msgspec.field(default_factory=list)
    tz: Annotated[
        str | None, Meta(description="Buckets: an IANA time zone; `UTC` if left out.", examples=["Europe/Berlin"])
    ] = None
    fill: Annotated[Fill | None, Meta(description="Buckets: what stands in empty ones; `none` leaves them out.")] = None
    order: Annotated[Literal["asc", "desc"] | None, Meta(description="Rows: oldest or newest first.")] = None
    limit: Annotated[
        Annotated[int, Meta(ge=1, le=MAX_ROWS)] | None,
        Meta(description=f"Entries of a page; {DEFAULT_ROWS} if left out."),
    ] = None
    cursor: Cursor = None
    bigint: Annotated[
        Literal["number", "string"], Meta(description="`string` writes metrics of kind int as strings.")
    ] = "number"
    excel: Annotated[
        bool,
        Meta(description="CSV: `true` puts an apostrophe before what a spreadsheet would run as a formula (`=1+1`)."),
    ] = False


class DevicesHistoryQuery(DeviceHistoryQuery, frozen=True, kw_only=True):
    """The same of several devices."""

    device: Annotated[
        list[DeviceName],
        Meta(
            description=f"Up to {MAX_DEVICES} devices; repeated or separated by commas.",
            extra_json_schema={"minItems": 1},
            examples=[["d1", "d2"]],
            extra={"most": MAX_DEVICES, "required": True},
        ),
    ] = msgspec.field(default_factory=list)


class RowsQuery(NamedTuple):
    """A listing."""

    order: Order
    limit: int | None
    """None where all of it is to be streamed."""
    page: Page

    def cursor(self, last: RowPosition | None) -> str | None:
        """Return the cursor of the next page. It holds the span, so that `to=now` means the first page's now."""
        return None if last is None else self.page.cursor((*self.order.span, *last))


class BucketsQuery(NamedTuple):
    """Series cut into buckets."""

    cut: Cut
    every: str
    zone: str
    wish: SeriesQuery


class PointsQuery(NamedTuple):
    """Charts."""

    span: Span
    points: int


class HistoryQuery(NamedTuple):
    """A call for history."""

    devices: list[str]
    metrics: list[str] | None
    span: Span
    media: Media
    bigint: bool
    """Integers of kind int as strings."""
    excel: bool
    """No cell of CSV is a formula to a spreadsheet."""
    wanted: RowsQuery | BucketsQuery | PointsQuery


def to_history_query(
    query: DeviceHistoryQuery, devices: list[str], accepted: Sequence[str], *, now_us: int
) -> HistoryQuery:
    """Return what is asked of these devices; `accepted` are the values of Accept. Raises BadRequest, TooManyBuckets."""
    metrics = query.metric or None
    start = to_moment(query.start, parameter="from", now_us=now_us)
    end = to_moment(query.end, parameter="to", now_us=now_us)
    if start > end:
        raise BadRequest("from= lies after to=; exchange them", parameter="from")
    span = Span(min(start, LAST_US), min(end, LAST_US))
    media = to_media(accepted)
    if query.excel and media != CSV:
        raise BadRequest("excel=true goes with CSV alone; send Accept: text/csv, or leave it out", parameter="excel")
    history = HistoryQuery(
        devices, metrics, span, media, query.bigint == "string", query.excel, PointsQuery(span, 0)
    )  # fmt: skip
    if query.every is not None:
        return history._replace(wanted=_buckets(query, query.every, span))
    if query.points is not None:
        return history._replace(wanted=_points(query, query.points, span))
    rows = _rows(query, history, about=(devices, metrics, (query.start, query.end)))
    return history._replace(span=rows.order.span, wanted=rows)


def to_media(accepted: Sequence[str]) -> Media:
    """Return the media type that the Accept header likes best of ours (RFC 9110 12.5.1); JSON if it likes none."""
    best: Media = JSON
    liked = 0.0
    for part in ",".join(accepted).split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = _quality(parameters)
        if name in _MEDIA and quality > liked:
            best, liked = _MEDIA[name], quality
    return best


_MEDIA: dict[str, Media] = {
    NDJSON: NDJSON,
    "application/ndjson": NDJSON,
    "application/jsonl": NDJSON,
    CSV: CSV,
    JSON: JSON,
    "*/*": JSON,
    "application/*": JSON,
    "text/*": CSV,
}


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, text = parameter.partition("=")
        if name.strip() == "q":
            return float(text) if re.fullmatch(r"[01](?:\.[0-9]{0,3})?", text) else 0.0
    return 1.0


def _refuse(query: DeviceHistoryQuery, *names: str, here: str) -> None:
    """Raise BadRequest for parameters of another question."""
    for name in names:
        if getattr(query, name):
            raise BadRequest(f"{name}= does not go with {here}; leave it out", parameter=name)


def _rows(query: DeviceHistoryQuery, history: HistoryQuery, *, about: object) -> RowsQuery:
    _refuse(query, "fn", "tz", "fill", here="rows: it needs every=")
    descending = query.order == "desc"
    streamed = query.limit is None and history.media != JSON
    page = to_page(query.limit or DEFAULT_ROWS, query.cursor, about=(about, descending))
    span, after = (history.span, None) if page.after is None else _resumed(page.after)
    return RowsQuery(Order(span, descending, after), None if streamed else page.limit, page)


def _resumed(held: object) -> tuple[Span, RowPosition]:
    """Return what a cursor holds. Raises BadRequest for what we never made."""
    try:
        start, end, time_us, device_id, shape_ids = msgspec.convert(held, tuple[int, int, int, int, list[int]])
    except msgspec.ValidationError:
        raise made_up() from None
    if not (0 <= start <= time_us < end <= LAST_US and shape_ids):
        raise made_up()
    return Span(start, end), RowPosition(time_us, device_id, shape_ids)


def _buckets(query: DeviceHistoryQuery, every: str, span: Span) -> BucketsQuery:
    _refuse(query, "points", "order", "limit", "cursor", here=_BUCKETS)
    width = parse_duration(every)
    if width is None:
        raise BadRequest(
            f"every={shown(every)} is no width; send a whole number and s, m, h or d, such as 5m", parameter="every"
        )
    functions = query.fn or ["avg"]
    for function in functions:
        if function not in FUNCTIONS:
            raise BadRequest(f"fn={shown(function)} is none of {', '.join(FUNCTIONS)}", parameter="fn")
    zone = (query.tz or "UTC").replace(" ", "+")  # of Etc/GMT+1, where the query did not escape it
    cut = to_cut(span, count=width.number, unit=width.unit, zone=_zone(zone))
    return BucketsQuery(cut, every, zone, SeriesQuery(functions, query.fill or "none"))


def _points(query: DeviceHistoryQuery, points: int, span: Span) -> PointsQuery:
    _refuse(query, "fn", "tz", "fill", "order", "limit", "cursor", here=_POINTS)
    return PointsQuery(span, points)


def _zone(name: str) -> ZoneInfo:
    try:
        if _ZONE.fullmatch(name):
            return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # a name that is a folder of names is an OSError
        pass
    raise BadRequest(f"tz={shown(name)} is no time zone; send an IANA name such as Europe/Berlin", parameter="tz")
