"""An import of devices: what became of each row. One COMMIT for all of them; knows neither rules nor tables."""

import asyncio

from gateway.domain.device_import import CSV, NDJSON, ImportResult, parse, tally
from gateway.web.context import Context
from gateway.web.http.audited import acting
from gateway.web.http.body import media_of
from gateway.web.http.call import Call, NoQuery
from gateway.web.http.fields import Count, Strict
from gateway.web.http.responses import OK, Answer

MULTI_STATUS = 207


class ImportReport(Strict, frozen=True):
    """What became of an import."""

    created: Count
    updated: Count
    unchanged: Count
    refused: Count
    results: list[ImportResult]


async def import_devices(call: Call[NoQuery, bytes], parts: Context) -> Answer:
    """Create and update devices: 200 if every row was taken, 207 if some were refused."""
    media = media_of(call.headers, (NDJSON, CSV))
    rows = await asyncio.to_thread(parse, call.content, media)  # ten thousand rows take a while
    parts.watch.check(call.authorization, call.principal)
    results = await parts.registrar.imports.apply(rows, actor=await acting(call, parts))
    report = ImportReport(**tally(results), results=results)
    return Answer(report, MULTI_STATUS if report.refused else OK)
