"""Questions about keys and device tokens in, JSON out; a token is shown once, where it is made. For admins."""

from datetime import datetime, timedelta
from typing import Annotated

import msgspec
import orjson
from msgspec import Meta
from sanic import HTTPResponse, Request

from gateway.core.timestamps import to_text
from gateway.domain.credentials import MAX_LIFETIME, OVERLAP, Credential, check_device_name
from gateway.domain.model import Role
from gateway.web.context import context_of
from gateway.web.handlers.devices import CREATED, NO_CONTENT
from gateway.web.http.admins import acting, admitted
from gateway.web.http.json_body import read_json
from gateway.web.http.path import device_name
from gateway.web.http.query import Question
from gateway.web.http.responses import reply

LIMIT, MOST = 100, 1000
"""Keys of a page."""
ROLES = tuple(role.value for role in Role)
PRIVATE = {"cache-control": "no-store"}

Days = Annotated[int, Meta(ge=1, le=MAX_LIFETIME.days)]


class NewKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of POST /v1/keys."""

    role: Role
    device: str | None = None
    prefix: str = ""
    label: str = ""
    expires_days: Days | None = None


class Rotation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of POST /v1/devices/{device}/keys:rotate."""

    overlap_secs: Annotated[int, Meta(ge=0, le=MAX_LIFETIME.days * 86_400)] = OVERLAP // timedelta(seconds=1)
    """How long the token in use stays valid beside the new one; 0: not at all."""
    expires_days: Days | None = None


_new_key = msgspec.json.Decoder(NewKey)
_rotation = msgspec.json.Decoder(Rotation)


async def list_keys(request: Request) -> HTTPResponse:
    """Answer with a page of keys and device tokens, by id; never with a token."""
    context = context_of(request)
    await admitted(request, context)
    question = Question(request)
    device = question.one("device")
    role = question.word("role", default="", known=ROLES)
    dead = question.flag("all") or False
    page = question.page(default=LIMIT, most=MOST, about=("keys", device, role, dead))
    question.finish()
    if device is not None:
        check_device_name(device)
    keys = await context.registrar.credentials.page(
        device=device,
        role=Role(role) if role else None,
        dead=dead,
        after=page.last_number(most=2**31 - 1) or 0,
        limit=page.limit + 1,
    )
    shown, last = page.cut(keys)
    body = {"keys": [to_fields(key) for key in shown], "next_cursor": page.cursor(last and last.id)}
    return reply(request, context, orjson.dumps(body), headers=PRIVATE)


async def post_key(request: Request) -> HTTPResponse:
    """Make a key, or a device's token: the answer is the only place where it is ever shown."""
    context = context_of(request)
    await admitted(request, context)
    Question(request).finish()
    new = await read_json(request, context, _new_key)
    issued = await context.registrar.credentials.issue(
        new.role,
        device=new.device,
        prefix=new.prefix,
        label=new.label,
        lifetime=_lifetime(new.expires_days),
        actor=await acting(request, context),
    )
    body = {
        "id": issued.id,
        "role": new.role,
        "device": new.device,
        "prefix": new.prefix,
        "label": new.label,
        "expires_at": _moment(issued.expires_at),
        "token": issued.token,
    }
    return reply(request, context, orjson.dumps(body), status=CREATED, headers=PRIVATE)


async def rotate_key(request: Request, device: str, call: str) -> HTTPResponse:  # noqa: ARG001 - the path segment
    """Make a device's next token; the one in use stays valid for the overlap."""
    context = context_of(request)
    device = device_name(device)
    await admitted(request, context)
    Question(request).finish()
    asked = await read_json(request, context, _rotation)
    issued = await context.registrar.credentials.rotate(
        device,
        overlap=timedelta(seconds=asked.overlap_secs),
        lifetime=_lifetime(asked.expires_days),
        actor=await acting(request, context),
    )
    body = {
        "id": issued.id,
        "token": issued.token,
        "device": device,
        "expires_at": _moment(issued.expires_at),
    }
    return reply(request, context, orjson.dumps(body), status=CREATED, headers=PRIVATE)


async def delete_key(request: Request, key: int) -> HTTPResponse:
    """Revoke a key or a token, for good."""
    context = context_of(request)
    await admitted(request, context)
    Question(request).finish()
    await context.registrar.credentials.revoke(key, actor=await acting(request, context))
    return reply(request, context, b"", status=NO_CONTENT)


def to_fields(key: Credential) -> dict[str, object]:
    """Return what is shown of a key: neither the token nor its digest."""
    return {
        "id": key.id,
        "role": key.role.value,
        "device": key.device,
        "prefix": key.prefix,
        "label": key.label,
        "created_at": _moment(key.created_at),
        "expires_at": _moment(key.expires_at),
        "revoked_at": _moment(key.revoked_at),
    }


def _lifetime(days: int | None) -> timedelta | None:
    return None if days is None else timedelta(days=days)


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else to_text(moment)
