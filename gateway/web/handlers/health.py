"""Health and metrics out, for load balancers and Prometheus. Never needs a credential, never changes anything."""

import asyncio

import msgspec
from sanic import HTTPResponse, Request

from gateway.telemetry import exposition, http_events
from gateway.web.context import Context, context_of
from gateway.web.http.responses import reply
from gateway.web.ports import Health

HEALTH_SECS = 3.0
"""Longest wait for the parts' own account; a part that cannot give one is not well."""
ALIVE = b'{"status":"alive"}'
UNAVAILABLE = 503
_encode = msgspec.json.Encoder(enc_hook=str).encode
LEAVING = Health(ready=False, parts={})
"""No part is asked any more: the answer would be the same, and a balancer should have it before the port closes."""


async def livez(request: Request) -> HTTPResponse:
    """Answer 200 as long as the event loop turns: restart the process if this fails."""
    return reply(request, context_of(request), ALIVE)


async def readyz(request: Request) -> HTTPResponse:
    """Answer 200 if traffic may come (ready, degraded), 503 if not, with the facts of each part and what is not well.

    When draining at once, without them.
    """
    context = context_of(request)
    health = LEAVING if context.draining else await account(context)
    body = _encode(
        {
            "status": status_of(context, health),
            "worker": context.worker,
            "degraded": health.degraded,
            "parts": health.parts,
        }
    )
    code = 200 if health.ready else UNAVAILABLE
    return reply(request, context, body, status=code, headers={"cache-control": "no-store"})


def status_of(context: Context, health: Health) -> str:
    """Return the state of this worker in one word: ready, degraded, unready or draining."""
    return "draining" if context.draining else health.status


async def account(context: Context) -> Health:
    """Return how the parts of this worker are, at most HEALTH_SECS later."""
    try:
        async with asyncio.timeout(HEALTH_SECS):
            return await context.health()
    except TimeoutError:
        return Health(ready=False, parts={"health": {"ok": False, "error": f"no account within {HEALTH_SECS:g} s"}})


async def get_metrics(request: Request) -> HTTPResponse:
    """Answer with the metrics of all workers in the Prometheus text format; `name[]` says which."""
    http_events.count_times()
    shown = await asyncio.to_thread(
        exposition.exposition, frozenset(request.args.getlist("name[]", ()))
    )  # milliseconds, in which requests are served
    return reply(request, context_of(request), shown, content_type=exposition.CONTENT_TYPE)
