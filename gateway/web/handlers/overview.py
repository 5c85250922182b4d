"""The whole gateway at a glance, for readers and admins: rates, health, ledger and devices. Changes nothing.

Whichever worker is asked, the numbers are those of all; only `parts` are its own, as on /readyz.
"""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

from msgspec import Meta

from gateway.core.timestamps import to_rfc3339
from gateway.domain.conditions import find
from gateway.domain.ledger import Ledger
from gateway.domain.principal import Role
from gateway.telemetry import ledger_events
from gateway.telemetry.rates import Backlog, Rates, RateSeries
from gateway.timescale.registry.device_count import DeviceCount
from gateway.web.context import Context
from gateway.web.handlers.health import Parts, Status, account, status_of
from gateway.web.http.call import Call, NoQuery
from gateway.web.http.fields import Moment, Strict
from gateway.web.http.responses import NO_STORE, Answer
from gateway.web.ports import Health, Trouble


class Overview(Strict, frozen=True):
    """The whole gateway at a glance; `parts` are those of the worker that answers."""

    now: Moment
    ready: bool
    status: Status
    degraded: Annotated[Sequence[Trouble], Meta(description="As on `/readyz` of the worker that answers.")]
    parts: Parts
    rates: Annotated[Rates, Meta(description="Now, of all workers.")]
    history: Annotated[RateSeries, Meta(description="Of the last 15 minutes, every 5 s.")]
    waiting: Backlog
    ledger: Ledger
    devices: DeviceCount | None
    role: Annotated[Role, Meta(description="Of the key that asks.")]


async def get_fleet(call: Call[NoQuery, None], parts: Context) -> Answer:
    """Answer with rates now and over the last 15 minutes, the health of the parts, the ledger and counts."""
    view = await parts.overview.get(partial(_look, parts))
    return Answer(Overview(**view, role=call.principal.role), headers=NO_STORE)


async def _look(context: Context) -> dict[str, Any]:
    health, devices = await asyncio.gather(account(context), context.device_counts.count())
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
