"""Questions about who did what in, JSON out, newest first. For admins; changes nothing."""

import msgspec
import orjson
from sanic import HTTPResponse, Request

from gateway.core.timestamps import to_datetime, to_text
from gateway.timescale.registry.audit import MAX_ID, MAX_PAGE, AuditEntry
from gateway.web.context import context_of
from gateway.web.http.admins import admitted
from gateway.web.http.query import Question
from gateway.web.http.responses import reply

LIMIT = 100
"""Lines of a page, unless the caller says otherwise."""


async def list_audit(request: Request) -> HTTPResponse:
    """Answer with a page of acts."""
    context = context_of(request)
    await admitted(request, context)
    question = Question(request)
    since, actor = question.moment("since", now_us=context.clock.now_us()), question.one("actor")
    page = question.page(default=LIMIT, most=MAX_PAGE, about=("audit", actor))
    question.finish()
    entries = await context.registrar.audit.page(
        since=None if since is None else to_datetime(since),
        actor=actor,
        before=page.last_number(most=MAX_ID),
        limit=page.limit + 1,
    )
    shown, last = page.cut(entries)
    body = {"entries": [to_fields(entry) for entry in shown], "next_cursor": page.cursor(last and last.id)}
    return reply(request, context, orjson.dumps(body), headers={"cache-control": "no-store"})


def to_fields(entry: AuditEntry) -> dict[str, object]:
    """Return an act for JSON."""
    return msgspec.structs.asdict(entry) | {"at": to_text(entry.at)}
