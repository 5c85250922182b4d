"""Health and metrics, for load balancers and Prometheus. Never needs a credential, never changes anything."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from gateway.telemetry import exposition, http_events
from gateway.web.context import Context
from gateway.web.http.call import Call
from gateway.web.http.fields import Strict
from gateway.web.http.responses import NO_STORE, OK, Answer
from gateway.web.ports import Health, Trouble

HEALTH_SECS = 3.0
"""Longest wait for the parts' own account; a part that cannot give one is not well."""
UNAVAILABLE = 503
LEAVING = Health(ready=False, parts={})
"""No part is asked any more: the answer would be the same, and a balancer should have it before the port closes."""

Status = Annotated[
    Literal["ready", "degraded", "unready", "draining"],
    Meta(description="`degraded`: traffic may come as ever, and something needs a look."),
]


class Alive(Strict, frozen=True):
    """The process answers."""

    status: Literal["alive"] = "alive"


Part = Annotated[
    Mapping[str, Any],
    Meta(
        description="`ok`, `error`, and facts that are its own.",
        extra_json_schema={
            "required": ["ok"],
            "properties": {"ok": {"type": "boolean"}, "error": {"type": ["string", "null"]}},
        },
    ),
]
Parts = Annotated[Mapping[str, Part], Meta(description="Part → how it is.")]


class Readiness(Strict, frozen=True):
    """Whether traffic may come."""

    status: Status
    worker: Annotated[str, Meta(description="The worker process that answered.")]
    degraded: Annotated[Sequence[Trouble], Meta(description="What is not well; empty when all is.")]
    parts: Parts


class PrometheusQuery(msgspec.Struct, frozen=True, rename={"names": "name[]"}):
    """Which metrics are shown; what else stands in the address is passed over."""

    names: Annotated[list[str], Meta(description="Only metrics of these names; repeated: all of them.")] = []


def livez(_call: Call[None, None], _parts: Context) -> Answer:
    """Answer 200 as long as the event loop turns: restart the process if this fails."""
    return Answer(Alive())


async def readyz(_call: Call[None, None], parts: Context) -> Answer:
    """Answer 200 if traffic may come (ready, degraded), 503 if not, with the facts of each part and what is not well.

    When draining at once, without them.
    """
    health = LEAVING if parts.draining else await account(parts)
    readiness = Readiness(
        status=status_of(parts, health), worker=parts.worker, degraded=health.degraded, parts=health.parts
    )
    return Answer(readiness, OK if health.ready else UNAVAILABLE, NO_STORE)


def status_of(parts: Context, health: Health) -> Status:
    """Return the state of this worker in one word."""
    return "draining" if parts.draining else health.status


async def account(parts: Context) -> Health:
    """Return how the parts of this worker are, at most HEALTH_SECS later."""
    try:
        async with asyncio.timeout(HEALTH_SECS):
            return await parts.health()
    except TimeoutError:
        return Health(ready=False, parts={"health": {"ok": False, "error": f"no account within {HEALTH_SECS:g} s"}})


async def get_metrics(call: Call[PrometheusQuery, None], parts: Context) -> Answer:
    """Answer with the metrics of all workers in the Prometheus text format; `name[]` says which.

    In a flood they are a moment old: rendering them has a budget.
    """
    http_events.count_times()
    names = frozenset(call.query.names)
    return Answer(await parts.scrapes.text(names), media=exposition.CONTENT_TYPE, is_shared=not names)
