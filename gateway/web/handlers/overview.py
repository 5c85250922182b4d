"""The whole gateway at a glance out, for readers and admins: rates, health, books and devices. Changes nothing.

Whichever worker is asked, the numbers are those of all; only `parts` are its own, as on /readyz.
"""

import asyncio
from functools import partial
from typing import Any

import msgspec
from sanic import HTTPResponse, Request

from gateway.core.errors import Forbidden
from gateway.core.timestamps import to_rfc3339
from gateway.domain.conditions import find
from gateway.domain.model import Principal, Role
from gateway.telemetry import ledger_events
from gateway.telemetry.rates import Backlog
from gateway.web.context import Context, context_of
from gateway.web.handlers.health import account, status_of
from gateway.web.http.permissions import identify
from gateway.web.http.query import Question
from gateway.web.http.responses import reply
from gateway.web.ports import Health, Trouble

_encode = msgspec.json.Encoder(enc_hook=str).encode


async def get_fleet(request: Request) -> HTTPResponse:
    """Answer with rates now and over the last 15 minutes, the health of the parts, the books, and counts of devices."""
    context = context_of(request)
    principal = await identify(request, context)
    require_overview(principal)
    Question(request).finish()
    view = await context.glance.take(partial(_look, context))
    body = _encode({**view, "role": principal.role})
    return reply(request, context, body, headers={"cache-control": "no-store"})


def require_overview(principal: Principal) -> None:
    """Raise Forbidden unless the numbers of the whole gateway may be seen."""
    if principal.role not in (Role.READER, Role.ADMIN):
        raise Forbidden(f"a key with the role {principal.role} may not see the fleet; use a reader or an admin key")


async def _look(context: Context) -> dict[str, Any]:
    health, devices = await asyncio.gather(account(context), context.census.count())
    health = _with_mqtt(context, health)
    newest = context.history.newest
    return {
        "now": to_rfc3339(context.clock.now_us()),
        "ready": health.ready and not context.draining,
        "status": status_of(context, health),
        "degraded": health.degraded,
        "parts": health.parts,
        "rates": context.history.now(),
        "history": context.history.series(),
        "waiting": newest.waiting if newest else Backlog(),
        "ledger": ledger_events.read(),
        "devices": devices,
    }


def _with_mqtt(context: Context, health: Health) -> Health:
    """Say how MQTT is for the whole gateway: only the first worker consumes it, and another one may be asked."""
    newest = context.history.newest
    if health.parts.get("mqtt", {}).get("consumes", True) or not context.mqtt or newest is None:
        return health
    connected = newest.mqtt_connections > 0
    part = {"ok": connected, "consumes": True, "connected": connected, "error": None}
    since = to_rfc3339(1000 * (context.history.without_mqtt_since_ms() or 0))
    troubles = [Trouble(each.part, each.what, since) for each in find({"mqtt": part})]
    return Health(health.ready, {**health.parts, "mqtt": part}, [*health.degraded, *troubles])
