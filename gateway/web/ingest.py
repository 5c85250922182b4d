"""POST bodies of readings in, receipts out. Knows HTTP only: what the bytes mean is `intake`'s business."""

from functools import partial

from sanic import HTTPResponse, Request

from gateway.errors import BadRequest
from gateway.receipts import to_json
from gateway.web.context import context_of
from gateway.web.guards import identify, require_writer
from gateway.web.idempotency import key_of, take_once
from gateway.web.parameters import device_name, refuse_unknown, require_json, shown
from gateway.web.replies import reply

FEW_ERRORS, ALL_ERRORS = 100, 10_000
"""Refusals listed in a receipt: without and with ?errors=all."""


async def post_readings(request: Request, device: str | None = None) -> HTTPResponse:
    """Take readings in: of the device in the path, or of any that the credential may write."""
    context = context_of(request)
    if device is not None:
        device = device_name(device)
    principal = await identify(request, context)
    require_writer(principal, device)
    require_json(request)
    atomic, max_errors = _options(request) if request.query_string else (False, FEW_ERRORS)
    key = key_of(request)
    with context.bodies.hold() as hold:
        body = await hold.read(request)
        take = partial(
            context.intake.take,
            body,
            principal=principal,
            media=None,
            device=device,
            atomic=atomic,
            max_errors=max_errors,
        )
        if key is not None:
            return await take_once(request, context, take, key=key, body=body)
        receipt = await take()
    return reply(request, context, to_json(receipt), status=receipt.status)


def _options(request: Request) -> tuple[bool, int]:
    """Return (atomic, max_errors). A parameter with a typo must not silently mean its default."""
    given = {name: values[-1] for name, values in request.get_args(keep_blank_values=True).items()}
    atomic = given.pop("atomic", "false")
    errors = given.pop("errors", "few")
    if atomic not in ("true", "false"):
        raise BadRequest(f"atomic={shown(atomic)} is not true or false", parameter="atomic")
    if errors not in ("few", "all"):
        raise BadRequest(f"errors={shown(errors)} is not 'all'; leave it out for the first 100", parameter="errors")
    refuse_unknown(given, known="atomic, errors")
    return atomic == "true", ALL_ERRORS if errors == "all" else FEW_ERRORS
