"""Stored readings: rows, buckets or points, as JSON, NDJSON or CSV. Only reads."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from typing import Any

import msgspec
import orjson

from gateway.core.errors import BadRequest
from gateway.core.timestamps import to_rfc3339
from gateway.domain.history import HistoryRow, Order, SeriesAnswer
from gateway.web.context import Context
from gateway.web.handlers.history_answers import BucketSeries, NamedSeries, PointSeries, ReadingPage
from gateway.web.handlers.history_formats import (
    CSV,
    JSON,
    NDJSON,
    ROWS_HEADER,
    rows_csv,
    rows_json,
    rows_ndjson,
    series_csv,
    series_header,
    series_json,
    series_ndjson,
)
from gateway.web.handlers.history_query import (
    MAX_DEVICES,
    BucketsQuery,
    DeviceHistoryQuery,
    DevicesHistoryQuery,
    HistoryQuery,
    PointsQuery,
    RowsQuery,
    to_history_query,
)
from gateway.web.handlers.history_stream import stream
from gateway.web.http.call import Call
from gateway.web.http.path import check_device
from gateway.web.http.responses import Answer, Stream

CSV_TYPE = "text/csv; charset=utf-8; header=present"
NEXT_CURSOR = "x-next-cursor"


async def get_device_readings(call: Call[DeviceHistoryQuery, None], parts: Context) -> Answer | Stream:
    """Answer with the history of the device in the path."""
    device = call.path["device"]
    return await _answer(call, parts, [device], {"device": device})


async def get_readings(call: Call[DevicesHistoryQuery, None], parts: Context) -> Answer | Stream:
    """Answer with the history of several devices."""
    devices = call.query.device
    if not devices:
        raise BadRequest(f"device= is missing; name up to {MAX_DEVICES} devices", parameter="device")
    for name in devices:
        check_device(name)
        call.permit(name)
    return await _answer(call, parts, devices, {"devices": devices})


async def _answer(
    call: Call[Any, None], parts: Context, devices: list[str], about: dict[str, object]
) -> Answer | Stream:
    query = to_history_query(call.query, devices, call.headers.getall("accept", []), now_us=parts.clock.now_us())
    head: dict[str, Any] = {
        **about, "start": to_rfc3339(query.span.start_us), "end": to_rfc3339(query.span.end_us)
    }  # fmt: skip
    caller = call.principal.caller
    match query.wanted:
        case RowsQuery(limit=None) as wanted:
            return _stream(call, parts, query, _all_rows(parts, query, wanted.order, caller))
        case RowsQuery() as wanted:
            return await _page(call, parts, query, wanted, head=head)
        case BucketsQuery() as wanted:
            answer = await parts.stored.buckets(devices, query.metrics, cut=wanted.cut, wish=wanted.wish, caller=caller)
            functions = list(wanted.wish.functions)
            if query.media != JSON:
                return _stream(call, parts, query, _series_parts(query, answer, functions))
            return Answer(
                BucketSeries(**head, every=wanted.every, tz=wanted.zone, fn=functions, **_series(query, answer))
            )
        case PointsQuery() as wanted:
            answer = await parts.stored.chart(
                devices, query.metrics, span=wanted.span, points=wanted.points, caller=caller
            )
            if query.media != JSON:
                return _stream(call, parts, query, _series_parts(query, answer, ["value"]))
            return Answer(PointSeries(**head, points=wanted.points, **_series(query, answer)))


def _stream(call: Call[Any, None], parts: Context, query: HistoryQuery, pieces: AsyncGenerator[bytes, None]) -> Stream:
    return stream(call, parts, pieces, media=_content_type(query))


async def _page(
    call: Call[Any, None], parts: Context, query: HistoryQuery, wanted: RowsQuery, *, head: dict[str, Any]
) -> Answer:
    page = await parts.stored.page(
        query.devices, query.metrics, order=wanted.order, limit=wanted.page.limit, caller=call.principal.caller
    )
    cursor = wanted.cursor(page.last)
    if query.media == JSON:
        rows: Any = msgspec.Raw(orjson.dumps(rows_json(page.rows, bigint=query.bigint)))
        return Answer(ReadingPage(**head, readings=rows, next_cursor=cursor))
    headers = {} if cursor is None else {NEXT_CURSOR: cursor}
    return Answer(_encoded(query, page.rows), headers=headers, media=_content_type(query))


def _series(query: HistoryQuery, answer: SeriesAnswer) -> dict[str, Any]:
    """Return the members that both kinds of series have."""
    found: dict[str, Any] = {
        "series": [msgspec.Raw(orjson.dumps(series_json(one, bigint=query.bigint))) for one in answer.series]
    }
    if answer.left_out:
        found["left_out"] = [NamedSeries(**name._asdict()) for name in answer.left_out]
    return found


async def _all_rows(parts: Context, query: HistoryQuery, order: Order, caller: str) -> AsyncGenerator[bytes, None]:
    async with aclosing(parts.stored.stream(query.devices, query.metrics, order=order, caller=caller)) as lists:
        first = True
        async for rows in lists:
            yield _encoded(query, rows, header=first)
            first = False
        if first:
            yield _encoded(query, [])


async def _series_parts(query: HistoryQuery, answer: SeriesAnswer, columns: list[str]) -> AsyncGenerator[bytes, None]:
    encode = partial(series_csv, excel=query.excel) if query.media == CSV else series_ndjson
    yield series_header(columns) if query.media == CSV else b""
    for series in answer.series:
        for part in encode(series, bigint=query.bigint):
            yield part


def _encoded(query: HistoryQuery, rows: list[HistoryRow], *, header: bool = True) -> bytes:
    if query.media == NDJSON:
        return rows_ndjson(rows, bigint=query.bigint)
    return (ROWS_HEADER if header else b"") + rows_csv(rows, bigint=query.bigint, excel=query.excel)


def _content_type(query: HistoryQuery) -> str:
    return CSV_TYPE if query.media == CSV else query.media
