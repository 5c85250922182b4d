"""A roster of devices in, what became of each row out. One COMMIT for all of them; knows neither rules nor tables."""

import asyncio

import msgspec
from sanic import HTTPResponse, Request

from gateway.domain.device_import import CSV, NDJSON, parse, tally
from gateway.web.context import context_of
from gateway.web.http.admins import acting, admitted
from gateway.web.http.json_body import read_body, require_media
from gateway.web.http.query import Question
from gateway.web.http.responses import reply

MULTI_STATUS = 207
_encode = msgspec.json.Encoder().encode


async def import_devices(request: Request, call: str) -> HTTPResponse:  # noqa: ARG001 - the path segment
    """Create and update devices: 200 if every row was taken, 207 if some were refused."""
    context = context_of(request)
    await admitted(request, context)
    Question(request).finish()
    media = require_media(request, (NDJSON, CSV))
    rows = await asyncio.to_thread(parse, await read_body(request, context), media)  # ten thousand rows take a while
    actor = await acting(request, context)
    results = await context.registrar.imports.apply(rows, actor=actor)
    counts = tally(results)
    status = MULTI_STATUS if counts["refused"] else 200
    return reply(request, context, _encode({**counts, "results": results}), status=status)
