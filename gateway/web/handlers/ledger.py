"""The books of the gateway out, for admins: whichever worker is asked, those of all workers. Changes nothing."""

import msgspec
from sanic import HTTPResponse, Request

from gateway.telemetry import ledger_events
from gateway.web.context import context_of
from gateway.web.http.permissions import identify, require_admin
from gateway.web.http.query import Question
from gateway.web.http.responses import reply


async def get_ledger(request: Request) -> HTTPResponse:
    """Answer with the readings taken in and what became of them, per source, since the gateway started."""
    context = context_of(request)
    require_admin(await identify(request, context))
    Question(request).finish()
    body = msgspec.json.encode(ledger_events.read())
    return reply(request, context, body, headers={"cache-control": "no-store"})
