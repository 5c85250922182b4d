"""Credentials: tokens, digests, and the rules every store of them follows. No I/O."""

import base64
import hashlib
import re
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec

from gateway.core.errors import BadRequest
from gateway.domain.names import check_device_name, check_prefix
from gateway.domain.principal import Role

PREFIXES = {Role.DEVICE: "gwd_", Role.INGEST: "gwi_", Role.READER: "gwr_", Role.ADMIN: "gwa_"}
"""How a token starts, so that people and secret scanners see what it is. The database decides what it may do."""
TOKEN = re.compile(r"gw[dira]_[A-Za-z0-9_\-]{43}")
MAX_LIVE = 2
"""Live credentials of one device: the one in use and the next one."""
OVERLAP = timedelta(hours=24)
"""How long the old token of a device stays valid after a rotation."""
MAX_LIFETIME = timedelta(days=36_525)
MAX_LABEL = 200
_RANDOM_BYTES = 32


class Issued(NamedTuple):
    """A token that was just made: the only time it is seen."""

    id: int
    token: str
    expires_at: datetime | None = None

    def __repr__(self) -> str:
        return f"Issued(id={self.id}, token='***')"


class Credential(msgspec.Struct, frozen=True):
    """What is known of a token that was issued; neither the token nor its digest."""

    id: int
    role: Role
    device: str | None
    prefix: str
    label: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


def new_token(role: Role, random: Callable[[int], bytes] = secrets.token_bytes) -> str:
    """Return a prefix and 256 random bits as base64url without padding (RFC 4648 section 5)."""
    return PREFIXES[role] + base64.urlsafe_b64encode(random(_RANDOM_BYTES)).rstrip(b"=").decode()


def digest_of(token: str) -> bytes:
    """Return the SHA-256 (32 bytes). Right for 256 random bits; slow hashes are for what people make up."""
    return hashlib.sha256(token.encode()).digest()


def check_grant(role: Role, *, device: str | None, prefix: str, label: str, lifetime: timedelta | None) -> None:
    """Raise BadRequest unless such a credential can be issued: what each role may be tied to, and for how long."""
    if (role is Role.DEVICE) != (device is not None):
        raise BadRequest("a device token is for one device, and only a device token is")
    if device is not None:
        check_device_name(device)
    if prefix and role is not Role.INGEST:
        raise BadRequest(f"only ingest keys have a prefix; this is one for the role {role.value!r}")
    check_prefix(prefix)
    if not (label.isprintable() and len(label) <= MAX_LABEL):
        raise BadRequest(f"a label is at most {MAX_LABEL} printable characters")
    if lifetime is not None and not timedelta() < lifetime <= MAX_LIFETIME:
        raise BadRequest(f"a credential lives longer than zero and at most {MAX_LIFETIME.days} days")


def check_overlap(overlap: timedelta) -> None:
    """Raise BadRequest unless an old token may stay valid for that long."""
    if not timedelta() <= overlap <= MAX_LIFETIME:
        raise BadRequest(f"the overlap lies between zero and {MAX_LIFETIME.days} days")
