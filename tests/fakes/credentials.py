"""In: the same calls as timescale.credentials. Out: the same answers, from memory. Never used by a running gateway."""

import secrets
from collections.abc import Callable, Collection
from datetime import timedelta

from msgspec import structs

from gateway.core.clock import Clock
from gateway.core.errors import BadRequest, NotFound
from gateway.core.timestamps import to_datetime, to_us
from gateway.domain.credentials import (
    MAX_LIVE,
    OVERLAP,
    Credential,
    Issued,
    check_grant,
    check_overlap,
    digest_of,
    new_token,
)
from gateway.domain.principal import Grant, Principal, Role


class MemoryCredentials:
    """`contracts.Credentials` without a database."""

    def __init__(self, *, clock: Clock, random: Callable[[int], bytes] = secrets.token_bytes) -> None:
        self._clock = clock
        self._random = random
        self._enabled: dict[str, bool] = {}
        self._entries: dict[bytes, Credential] = {}

    def add_device(self, name: str) -> None:
        """Make a device that tokens can be issued for."""
        self._enabled[name] = True

    def set_enabled(self, name: str, *, enabled: bool) -> None:
        """Enable or disable a device."""
        self._enabled[name] = enabled

    async def find(self, digests: Collection[bytes]) -> dict[bytes, Grant]:
        """Return who holds these tokens, of those that are valid."""
        found = {digest: self._grant(self._entries[digest]) for digest in digests if digest in self._entries}
        return {digest: grant for digest, grant in found.items() if grant is not None}

    def _grant(self, entry: Credential) -> Grant | None:
        if not self._is_live(entry) or (entry.device is not None and not self._enabled[entry.device]):
            return None
        expires = None if entry.expires_at is None else to_us(entry.expires_at)
        return Grant(Principal(entry.role, entry.device, entry.prefix, entry.id), expires)

    async def issue(
        self,
        role: Role,
        *,
        device: str | None = None,
        prefix: str = "",
        label: str = "",
        lifetime: timedelta | None = None,
    ) -> Issued:
        """Make a token. Raises BadRequest and NotFound."""
        check_grant(role, device=device, prefix=prefix, label=label, lifetime=lifetime)
        if device is not None and len(self._live(device)) >= MAX_LIVE:
            raise BadRequest(f"device {device!r} has {MAX_LIVE} live tokens already; rotate it or revoke one")
        return self._insert(role, device=device, prefix=prefix, label=label, lifetime=lifetime)

    async def rotate(self, device: str, *, overlap: timedelta = OVERLAP, lifetime: timedelta | None = None) -> Issued:
        """Make a new token for the device; the newest of the others stays valid for `overlap`."""
        check_grant(Role.DEVICE, device=device, prefix="", label="", lifetime=lifetime)
        check_overlap(overlap)
        live = self._live(device)
        now = to_datetime(self._clock.now_us())
        kept = 1 if overlap else 0
        for digest, entry in live[:kept]:
            soonest = min(now + overlap, entry.expires_at or now + overlap)
            self._entries[digest] = structs.replace(entry, expires_at=soonest)
        for digest, entry in live[kept:]:
            self._entries[digest] = structs.replace(entry, revoked_at=now)
        return self._insert(Role.DEVICE, device=device, prefix="", label="", lifetime=lifetime)

    async def revoke(self, credential_id: int) -> None:
        """Make a token invalid for good. Raises NotFound."""
        for digest, entry in self._entries.items():
            if entry.id == credential_id:
                revoked = entry.revoked_at or to_datetime(self._clock.now_us())
                self._entries[digest] = structs.replace(entry, revoked_at=revoked)
                return
        raise NotFound(f"there is no credential {credential_id}")

    async def page(
        self,
        *,
        device: str | None = None,
        role: Role | None = None,
        dead: bool = False,
        after: int = 0,
        limit: int = 100,
    ) -> list[Credential]:
        """Return credentials by id."""
        found = [
            entry
            for entry in self._entries.values()
            if entry.id > after
            and device in (None, entry.device)
            and role in (None, entry.role)
            and (dead or self._is_live(entry))
        ]
        return found[:limit]

    def _is_live(self, entry: Credential) -> bool:
        now = to_datetime(self._clock.now_us())
        return entry.revoked_at is None and (entry.expires_at is None or entry.expires_at > now)

    def _live(self, device: str) -> list[tuple[bytes, Credential]]:
        """Return the live credentials of the device, newest first."""
        if device not in self._enabled:
            raise NotFound(f"there is no device {device!r}")
        entries = reversed(self._entries.items())
        return [(digest, entry) for digest, entry in entries if entry.device == device and self._is_live(entry)]

    def _insert(self, role: Role, *, device: str | None, prefix: str, label: str, lifetime: timedelta | None) -> Issued:
        token = new_token(role, self._random)
        now = to_datetime(self._clock.now_us())
        entry = Credential(
            id=len(self._entries) + 1,
            role=role,
            device=device,
            prefix=prefix,
            label=label,
            created_at=now,
            expires_at=None if lifetime is None else now + lifetime,
            revoked_at=None,
        )
        self._entries[digest_of(token)] = entry
        return Issued(entry.id, token)
