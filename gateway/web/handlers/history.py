"""Calls for stored readings in, answers out: rows, buckets or points, as JSON, NDJSON or CSV. Only reads."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

import orjson
from sanic import HTTPResponse, Request

from gateway.core.timestamps import to_rfc3339
from gateway.domain.history import HistoryRow, Order, SeriesAnswer
from gateway.web.context import Context, context_of
from gateway.web.handlers.history_formats import (
    CSV,
    JSON,
    NDJSON,
    ROWS_HEADER,
    named,
    rows_csv,
    rows_json,
    rows_ndjson,
    series_csv,
    series_header,
    series_json,
    series_ndjson,
)
from gateway.web.handlers.history_query import (
    BucketsQuery,
    HistoryQuery,
    PointsQuery,
    RowsQuery,
    device_names,
    to_asked,
)
from gateway.web.handlers.history_stream import stream
from gateway.web.http.path import device_name
from gateway.web.http.permissions import identify, require_reader
from gateway.web.http.query import Question
from gateway.web.http.responses import reply

CSV_TYPE = "text/csv; charset=utf-8; header=present"
NEXT_CURSOR = "x-next-cursor"


async def get_device_readings(request: Request, device: str) -> HTTPResponse | None:
    """Answer with the history of the device in the path."""
    context = context_of(request)
    name = device_name(device)
    require_reader(await identify(request, context), name)
    return await _answer(request, context, Question(request), [name], one=True)


async def get_readings(request: Request) -> HTTPResponse | None:
    """Answer with the history of several devices."""
    context = context_of(request)
    principal = await identify(request, context)
    question = Question(request)
    names = device_names(question)
    for name in names:
        require_reader(principal, name)
    return await _answer(request, context, question, names, one=False)


async def _answer(
    request: Request, context: Context, question: Question, devices: list[str], *, one: bool
) -> HTTPResponse | None:
    asked = to_asked(request, question, devices, now_us=context.clock.now_us())
    head: dict[str, object] = {"device": devices[0]} if one else {"devices": devices}
    head |= {"from": to_rfc3339(asked.span.start_us), "to": to_rfc3339(asked.span.end_us)}
    match asked.wanted:
        case RowsQuery(limit=None) as wanted:
            await stream(request, context, _all_rows(context, asked, wanted.order), content_type=_content_type(asked))
            return None
        case RowsQuery() as wanted:
            return await _page(request, context, asked, wanted, head=head)
        case BucketsQuery() as wanted:
            answer = await context.stored.buckets(devices, asked.metrics, cut=wanted.cut, wish=wanted.wish)
            functions = list(wanted.wish.functions)
            head |= {"every": wanted.every, "tz": wanted.zone, "fn": functions}
            return await _series(request, context, asked, answer, head=head, columns=functions)
        case PointsQuery() as wanted:
            answer = await context.stored.chart(devices, asked.metrics, span=wanted.span, points=wanted.points)
            return await _series(
                request, context, asked, answer, head=head | {"points": wanted.points}, columns=["value"]
            )


async def _page(
    request: Request, context: Context, asked: HistoryQuery, wanted: RowsQuery, *, head: dict[str, object]
) -> HTTPResponse:
    page = await context.stored.page(asked.devices, asked.metrics, order=wanted.order, limit=wanted.page.limit)
    cursor = wanted.cursor(page.last)
    if asked.media == JSON:
        rows = rows_json(page.rows, bigint=asked.bigint)
        return reply(request, context, orjson.dumps({**head, "readings": rows, "next_cursor": cursor}))
    body = _encoded(asked, page.rows)
    headers = {} if cursor is None else {NEXT_CURSOR: cursor}
    return reply(request, context, body, content_type=_content_type(asked), headers=headers)


async def _series(
    request: Request,
    context: Context,
    asked: HistoryQuery,
    answer: SeriesAnswer,
    *,
    head: dict[str, object],
    columns: list[str],
) -> HTTPResponse | None:
    if asked.media != JSON:
        parts = _series_parts(asked, answer, columns)
        await stream(request, context, parts, content_type=_content_type(asked))
        return None
    body: dict[str, object] = {**head, "series": [series_json(one, bigint=asked.bigint) for one in answer.series]}
    if answer.left_out:
        body["left_out"] = [named(name) for name in answer.left_out]
    return reply(request, context, orjson.dumps({**body, "next_cursor": None}))


async def _all_rows(context: Context, asked: HistoryQuery, order: Order) -> AsyncGenerator[bytes, None]:
    async with aclosing(context.stored.stream(asked.devices, asked.metrics, order=order)) as lists:
        first = True
        async for rows in lists:
            yield _encoded(asked, rows, header=first)
            first = False
        if first:
            yield _encoded(asked, [])


async def _series_parts(asked: HistoryQuery, answer: SeriesAnswer, columns: list[str]) -> AsyncGenerator[bytes, None]:
    encode = series_csv if asked.media == CSV else series_ndjson
    yield series_header(columns) if asked.media == CSV else b""
    for series in answer.series:
        for part in encode(series, bigint=asked.bigint):
            yield part


def _encoded(asked: HistoryQuery, rows: list[HistoryRow], *, header: bool = True) -> bytes:
    if asked.media == NDJSON:
        return rows_ndjson(rows, bigint=asked.bigint)
    return (ROWS_HEADER if header else b"") + rows_csv(rows, bigint=asked.bigint)


def _content_type(asked: HistoryQuery) -> str:
    return CSV_TYPE if asked.media == CSV else asked.media
