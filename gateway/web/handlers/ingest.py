"""POST bodies of readings in, receipts out. Knows HTTP only: what the bytes mean is `intake`'s business."""

from collections.abc import Collection
from functools import partial
from typing import NamedTuple

from sanic import HTTPResponse, Request

from gateway.domain.contracts import Toll
from gateway.ingest.receipts import to_json
from gateway.web.context import Context, context_of
from gateway.web.http.idempotency import key_of, take_once
from gateway.web.http.path import device_name, require_json
from gateway.web.http.permissions import identify, require_writer
from gateway.web.http.query import Question
from gateway.web.http.responses import reply
from gateway.web.limits.rate_limits import RateLimits

FEW_ERRORS, ALL_ERRORS = 100, 10_000
"""Refusals listed in a receipt: without and with ?errors=all."""


class Options(NamedTuple):
    """What the query says."""

    atomic: bool = False
    max_errors: int = FEW_ERRORS
    backfill: bool = False


DEFAULTS = Options()


async def post_readings(request: Request, device: str | None = None) -> HTTPResponse:
    """Take readings in: of the device in the path, or of any that the credential may write."""
    context = context_of(request)
    if device is not None:
        device = device_name(device)
    principal = await identify(request, context)
    require_writer(principal, device)
    require_json(request)
    options = _options(request) if request.query_string else DEFAULTS
    key = key_of(request)
    await context.turns.mine()
    context.intake.knock()
    limits = context.limits
    if limits is not None:
        limits.send(request, backfill=options.backfill, most_bytes=context.http.max_body_bytes)
    with context.bodies.hold() as hold:
        body = await hold.read(request)
        require_json(request, body)
        take = partial(
            context.intake.take,
            body,
            principal=principal,
            media=None,
            device=device,
            atomic=options.atomic,
            max_errors=options.max_errors,
            toll=_toll(request, limits, body, backfill=options.backfill),
        )
        if key is not None:
            devices = partial(_devices, context, body, device)
            return await take_once(request, context, take, key=key, body=body, devices=devices, hold=hold)
        receipt = await take()
    return reply(request, context, to_json(receipt), status=receipt.status)


def _devices(context: Context, body: bytes, device: str | None) -> Collection[str]:
    return context.intake.devices(body) if device is None else (device,)


def _options(request: Request) -> Options:
    """Return what the query says. A parameter with a typo must not silently mean its default."""
    question = Question(request)
    options = Options(
        atomic=question.flag("atomic") or False,
        max_errors=ALL_ERRORS if question.word("errors", default="few", known=("few", "all")) == "all" else FEW_ERRORS,
        backfill=question.flag("backfill") or False,
    )
    question.finish()
    return options


def _toll(request: Request, limits: RateLimits | None, body: bytes, *, backfill: bool) -> Toll | None:
    if limits is not None:
        return limits.toll(request, body, backfill=backfill)
    return _yields if backfill else None


async def _yields(_readings: int) -> bool:
    return True
