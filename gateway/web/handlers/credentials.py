"""Keys and device tokens, for admins; a token is shown once, where it is made."""

from datetime import datetime, timedelta
from typing import Annotated

from msgspec import Meta

from gateway.core.timestamps import to_text
from gateway.domain.credentials import MAX_LIFETIME, OVERLAP, Credential
from gateway.domain.names import check_device_name
from gateway.domain.principal import Role
from gateway.web.context import Context
from gateway.web.http.audited import acting
from gateway.web.http.call import Call, NoQuery
from gateway.web.http.fields import Cursor, DeviceName, Id, Moment, NextCursor, PageLimit, Strict
from gateway.web.http.query import to_page
from gateway.web.http.responses import CREATED, NO_CONTENT, NO_STORE, Answer

MOST = 1000
"""Keys of a page."""

Days = Annotated[int, Meta(ge=1, le=MAX_LIFETIME.days)]
Token = Annotated[str, Meta(description="The secret. It is shown here and never again.")]
Expires = Annotated[Moment | None, Meta(description="Null: never.")]


class KeyQuery(Strict, frozen=True):
    """Which keys are listed."""

    device: Annotated[DeviceName | None, Meta(description="Only the tokens of this device.")] = None
    role: Annotated[Role | None, Meta(description="Only keys with this role.")] = None
    all: Annotated[bool | None, Meta(description="`true` shows those that are revoked or have expired, too.")] = None
    limit: PageLimit = 100
    cursor: Cursor = None


class NewKey(Strict, frozen=True):
    """The body of POST /v1/keys."""

    role: Role
    device: str | None = None
    prefix: str = ""
    label: str = ""
    expires_days: Days | None = None


class Rotation(Strict, frozen=True):
    """The body of POST /v1/devices/{device}/keys:rotate."""

    overlap_secs: Annotated[int, Meta(ge=0, le=MAX_LIFETIME.days * 86_400)] = OVERLAP // timedelta(seconds=1)
    """How long the token in use stays valid beside the new one; 0: not at all."""
    expires_days: Days | None = None


class Key(Strict, frozen=True):
    """A key or a device's token, without its secret."""

    id: Id
    role: Role
    device: Annotated[str | None, Meta(description="Of a device's token.")]
    prefix: Annotated[str, Meta(description="The devices that an ingest key may write.")]
    label: str
    created_at: Moment
    expires_at: Expires
    revoked_at: Moment | None


class KeyPage(Strict, frozen=True):
    """A page of keys."""

    keys: list[Key]
    next_cursor: NextCursor


class IssuedKey(Strict, frozen=True):
    """A key that was just made."""

    id: Id
    role: Role
    device: str | None
    prefix: str
    label: str
    expires_at: Expires
    token: Token


class IssuedToken(Strict, frozen=True):
    """A device's next token."""

    id: Id
    token: Token
    device: str
    expires_at: Expires


async def list_keys(call: Call[KeyQuery, None], parts: Context) -> Answer:
    """Answer with a page of keys and device tokens, by id; never with a token."""
    query = call.query
    dead = query.all or False
    page = to_page(query.limit, query.cursor, about=("keys", query.device, query.role or "", dead))
    if query.device is not None:
        check_device_name(query.device)
    keys = await parts.registrar.credentials.page(
        device=query.device,
        role=query.role,
        dead=dead,
        after=page.last_number(most=2**31 - 1) or 0,
        limit=page.limit + 1,
    )
    shown, last = page.cut(keys)
    return Answer(
        KeyPage(keys=[to_key(key) for key in shown], next_cursor=page.cursor(last and last.id)), headers=NO_STORE
    )


async def post_key(call: Call[NoQuery, NewKey], parts: Context) -> Answer:
    """Make a key, or a device's token: the answer is the only place where it is ever shown."""
    new = call.content
    issued = await parts.registrar.credentials.issue(
        new.role,
        device=new.device,
        prefix=new.prefix,
        label=new.label,
        lifetime=_lifetime(new.expires_days),
        actor=await acting(call, parts),
    )
    key = IssuedKey(
        id=issued.id,
        role=new.role,
        device=new.device,
        prefix=new.prefix,
        label=new.label,
        expires_at=_moment(issued.expires_at),
        token=issued.token,
    )
    return Answer(key, CREATED, NO_STORE)


async def rotate_key(call: Call[NoQuery, Rotation], parts: Context) -> Answer:
    """Make a device's next token; the one in use stays valid for the overlap."""
    device, wanted = call.path["device"], call.content
    issued = await parts.registrar.credentials.rotate(
        device,
        overlap=timedelta(seconds=wanted.overlap_secs),
        lifetime=_lifetime(wanted.expires_days),
        actor=await acting(call, parts),
    )
    token = IssuedToken(id=issued.id, token=issued.token, device=device, expires_at=_moment(issued.expires_at))
    return Answer(token, CREATED, NO_STORE)


async def delete_key(call: Call[NoQuery, None], parts: Context) -> Answer:
    """Revoke a key or a token, for good."""
    await parts.registrar.credentials.revoke(call.path["key"], actor=await acting(call, parts))
    return Answer(status=NO_CONTENT)


def to_key(key: Credential) -> Key:
    """Return what is shown of a key: neither the token nor its digest."""
    return Key(
        id=key.id,
        role=key.role,
        device=key.device,
        prefix=key.prefix,
        label=key.label,
        created_at=to_text(key.created_at),
        expires_at=_moment(key.expires_at),
        revoked_at=_moment(key.revoked_at),
    )


def _lifetime(days: int | None) -> timedelta | None:
    return None if days is None else timedelta(days=days)


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else to_text(moment)
