"""The query string and headers of a call for history in, what is asked out. Asks no database; raises BadRequest.

Three questions share one address: rows, buckets (`every=`) and points (`points=`). A parameter of another is refused.
"""

import re
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from sanic import Request

from gateway.core.durations import parse_duration
from gateway.core.errors import BadRequest
from gateway.domain.buckets import Cut, to_cut
from gateway.domain.history import FUNCTIONS, Fill, Order, RowPosition, SeriesQuery, Span
from gateway.domain.layouts import DEVICE_NAME
from gateway.domain.model import MAX_NAME
from gateway.web.handlers.history_formats import CSV, JSON, NDJSON, Media
from gateway.web.http.path import shown
from gateway.web.http.query import Page, Question, made_up, to_moment, to_page

MAX_DEVICES = 100
MAX_METRICS = 500
DEFAULT_ROWS, MAX_ROWS = 1000, 10_000
LEAST_POINTS, MOST_POINTS = 3, 10_000
LAST_US = 253_370_764_800_000_000
"""9999-01-01: no reading lies beyond it, and every zone can still say it."""
_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+)*", re.ASCII)
_ROWS, _BUCKETS, _POINTS = "rows", "every=", "points="


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
    wanted: RowsQuery | BucketsQuery | PointsQuery


class _Given(NamedTuple):
    """The parameters that belong to one of the questions, as text."""

    every: str | None
    points: str | None
    fn: list[str]
    tz: str | None
    fill: str | None
    order: str | None
    limit: str | None
    cursor: str | None


def device_names(question: Question) -> list[str]:
    """Return the devices that `device=` names. Raises BadRequest."""
    names = question.names("device", most=MAX_DEVICES)
    if not names:
        raise BadRequest(f"device= is missing; name up to {MAX_DEVICES} devices", parameter="device")
    for name in names:
        if DEVICE_NAME.fullmatch(name) is None:
            raise BadRequest(
                f"device name {shown(name)} is not allowed; use 1 to {MAX_NAME} characters of A-Z a-z 0-9 . _ : -",
                parameter="device",
            )
    return names


def to_asked(request: Request, question: Question, devices: list[str], *, now_us: int) -> HistoryQuery:
    """Return what is asked of these devices. Raises BadRequest, TooManyBuckets."""
    metrics = question.names("metric", most=MAX_METRICS) or None
    texts = tuple(
        default if text is None else text
        for text, default in ((question.one("from"), "-1h"), (question.one("to"), "now"))
    )
    given = _given(question)
    bigint = question.word("bigint", default="number", known=("number", "string")) == "string"
    question.finish()
    start, end = (
        to_moment(text, parameter=name, now_us=now_us) for name, text in zip(("from", "to"), texts, strict=True)
    )
    if start > end:
        raise BadRequest("from= lies after to=; exchange them", parameter="from")
    span = Span(min(start, LAST_US), min(end, LAST_US))
    asked = HistoryQuery(devices, metrics, span, to_media(request), bigint, PointsQuery(span, 0))
    if given.every is not None:
        return asked._replace(wanted=_buckets(given, given.every, span))
    if given.points is not None:
        return asked._replace(wanted=_points(given, given.points, span))
    rows = _rows(given, asked, about=(devices, metrics, texts))
    return asked._replace(span=rows.order.span, wanted=rows)


def to_media(request: Request) -> Media:
    """Return the media type that the Accept header likes best of ours (RFC 9110 12.5.1); JSON if it likes none."""
    best: Media = JSON
    liked = 0.0
    for part in ",".join(request.headers.getall("accept", ())).split(","):
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


def _given(question: Question) -> _Given:
    return _Given(
        question.one("every"),
        question.one("points"),
        question.names("fn", most=len(FUNCTIONS)),
        question.one("tz"),
        question.one("fill"),
        question.one("order"),
        question.one("limit"),
        question.one("cursor"),
    )


def _refuse(given: _Given, *names: str, here: str) -> None:
    """Raise BadRequest for parameters of another question."""
    for name in names:
        if getattr(given, name):
            raise BadRequest(f"{name}= does not go with {here}; leave it out", parameter=name)


def _rows(given: _Given, asked: HistoryQuery, *, about: object) -> RowsQuery:
    _refuse(given, "fn", "tz", "fill", here="rows: it needs every=")
    descending = _word(given.order, "order", ("asc", "desc")) == "desc"
    streamed = given.limit is None and asked.media != JSON
    limit = DEFAULT_ROWS if given.limit is None else _number(given.limit, "limit", 1, MAX_ROWS)
    page = to_page(limit, given.cursor, about=(about, descending))
    span, after = (asked.span, None) if page.after is None else _resumed(page.after)
    return RowsQuery(Order(span, descending, after), None if streamed else limit, page)


def _resumed(held: object) -> tuple[Span, RowPosition]:
    """Return what a cursor holds. Raises BadRequest for what we never made."""
    try:
        start, end, time_us, device_id, shape_ids = msgspec.convert(held, tuple[int, int, int, int, list[int]])
    except msgspec.ValidationError:
        raise made_up() from None
    if not (0 <= start <= time_us < end <= LAST_US and shape_ids):
        raise made_up()
    return Span(start, end), RowPosition(time_us, device_id, shape_ids)


def _buckets(given: _Given, every: str, span: Span) -> BucketsQuery:
    _refuse(given, "points", "order", "limit", "cursor", here=_BUCKETS)
    width = parse_duration(every)
    if width is None:
        raise BadRequest(
            f"every={shown(every)} is no width; send a whole number and s, m, h or d, such as 5m", parameter="every"
        )
    functions = given.fn or ["avg"]
    for function in functions:
        _word(function, "fn", FUNCTIONS)
    fill: Fill = _word(given.fill, "fill", ("none", "null", "prev"))  # type: ignore[assignment]
    zone = (given.tz or "UTC").replace(" ", "+")  # of Etc/GMT+1, where the query did not escape it
    cut = to_cut(span, count=width.number, unit=width.unit, zone=_zone(zone))
    return BucketsQuery(cut, every, zone, SeriesQuery(functions, fill))


def _points(given: _Given, points: str, span: Span) -> PointsQuery:
    _refuse(given, "fn", "tz", "fill", "order", "limit", "cursor", here=_POINTS)
    return PointsQuery(span, _number(points, "points", LEAST_POINTS, MOST_POINTS))


def _zone(name: str) -> ZoneInfo:
    try:
        if _ZONE.fullmatch(name):
            return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # a name that is a folder of names is an OSError
        pass
    raise BadRequest(f"tz={shown(name)} is no time zone; send an IANA name such as Europe/Berlin", parameter="tz")


def _word(text: str | None, parameter: str, known: tuple[str, ...]) -> str:
    """Return one of the words, the first if there is none given."""
    if text is not None and text not in known:
        raise BadRequest(f"{parameter}={shown(text)} is none of {', '.join(known)}", parameter=parameter)
    return known[0] if text is None else text


def _number(text: str, parameter: str, least: int, most: int) -> int:
    number = int(text) if re.fullmatch(r"[0-9]{1,9}", text, re.ASCII) else -1
    if not least <= number <= most:
        raise BadRequest(f"{parameter}={shown(text)} is not a whole number from {least} to {most}", parameter=parameter)
    return number
