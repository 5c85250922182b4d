"""Readings posted over HTTP. Knows HTTP only: what the bytes mean is `intake`'s business."""

from collections.abc import Collection
from functools import partial
from typing import Annotated, Literal

from msgspec import Meta

from gateway.domain.contracts.ingest import Charge
from gateway.web.context import Context
from gateway.web.http.body import media_of
from gateway.web.http.call import Call
from gateway.web.http.fields import Strict
from gateway.web.http.idempotency import key_of, take_once
from gateway.web.http.responses import JSON, Answer
from gateway.web.limits.body_budget import Incoming

FEW_ERRORS, ALL_ERRORS = 100, 10_000
"""Refusals listed in a receipt: without and with ?errors=all."""


class IngestQuery(Strict, frozen=True):
    """How readings are taken in."""

    atomic: Annotated[
        bool | None, Meta(description="`true` stores all of the body or nothing; it needs the database.")
    ] = None
    errors: Annotated[Literal["few", "all"], Meta(description="`all` lists up to 10,000 refusals instead of 100.")] = (
        "few"
    )
    backfill: Annotated[
        bool | None, Meta(description="`true`: old readings, which yield to live ones and have a limit of their own.")
    ] = None


async def post_readings(call: Call[IngestQuery, Incoming], parts: Context) -> Answer:
    """Take readings in: of the device in the path, or of any that the credential may write."""
    device: str | None = call.path.get("device")
    query, key = call.query, key_of(call)
    backfill = query.backfill or False
    await parts.turns.mine()
    parts.intake.refuse_if_full()
    if parts.limits is not None and call.visit is not None:
        most_bytes = parts.http.max_body_bytes
        parts.limits.send(call.visit, call.incoming.declared, backfill=backfill, most_bytes=most_bytes)
    with parts.bodies.hold(call.authorization) as hold:
        body = await hold.read(call.incoming, call.header("content-encoding"))
        parts.watch.check(call.authorization, call.principal)  # the body may have been long in coming
        media_of(call.headers, (JSON,), body)
        take = partial(
            parts.intake.take,
            body,
            principal=call.principal,
            media=None,
            device=device,
            atomic=query.atomic or False,
            max_errors=ALL_ERRORS if query.errors == "all" else FEW_ERRORS,
            sent=hold.sent,
            charge=_counting(call, parts, body, backfill=backfill),
        )
        if key is not None:
            devices = partial(_devices, parts, body, device)
            return await take_once(call, parts, take, key=key, body=body, devices=devices, hold=hold)
        receipt = await take()
    return Answer(receipt, receipt.status)


async def _devices(parts: Context, body: bytes, device: str | None) -> Collection[str]:
    return await parts.intake.devices(body) if device is None else (device,)


def _counting(call: Call[IngestQuery, Incoming], parts: Context, body: bytes, *, backfill: bool) -> Charge | None:
    if parts.limits is not None and call.visit is not None:
        return parts.limits.counting(call.visit, body, backfill=backfill)
    return _yields if backfill else None


async def _yields(_readings: int) -> bool:
    return True
