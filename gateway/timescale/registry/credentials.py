"""Credentials. In: digests to look up, grants to make. Out: principals; tokens once. Stores only a SHA-256."""

import secrets
from collections.abc import Callable, Collection
from datetime import datetime, timedelta

import asyncpg

from gateway.core.clock import Clock
from gateway.core.errors import BadRequest, NotFound, UnknownDevice
from gateway.core.timestamps import to_datetime
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
from gateway.domain.names import check_device_name
from gateway.domain.principal import Grant, Role
from gateway.timescale.connections.pool import Connection, Pool
from gateway.timescale.queries import query
from gateway.timescale.registry.audit import UNNAMED, note
from gateway.timescale.registry.revisions import locked_registry, to_grant

MAX_PAGE = 1000
_MAX_ID = 2**31 - 1


class StoredCredentials:
    """`contracts.Credentials` in the database, and what operators do with them.

    A device has at most two live tokens. All methods raise SinkUnavailable and SinkFault.
    """

    def __init__(self, pool: Pool, *, clock: Clock, random: Callable[[int], bytes] = secrets.token_bytes) -> None:
        self._pool = pool
        self._clock = clock
        self._random = random

    async def find(self, digests: Collection[bytes]) -> dict[bytes, Grant]:
        """Return who holds these tokens, without those that are unknown, expired, revoked or of a disabled device."""
        async with self._pool.connection() as connection:
            rows = await connection.fetch(query("find_credentials"), list(digests), self._now())
        return {row["digest"]: to_grant(row) for row in rows}

    async def issue(
        self,
        role: Role,
        *,
        device: str | None = None,
        prefix: str = "",
        label: str = "",
        lifetime: timedelta | None = None,
        actor: str = UNNAMED,
    ) -> Issued:
        """Make a token. Raises BadRequest (also if the device has two live ones already) and NotFound (the device)."""
        check_grant(role, device=device, prefix=prefix, label=label, lifetime=lifetime)
        async with locked_registry(self._pool) as connection:
            device_id = None
            if device is not None:
                device_id, live = await self._lock(connection, device)
                if len(live) >= MAX_LIVE:
                    raise BadRequest(f"device {device!r} has {MAX_LIVE} live tokens already; rotate it or revoke one")
            issued = await self._insert(
                connection, role, device_id=device_id, prefix=prefix, label=label, lifetime=lifetime
            )
            about = {"role": role, "device": device, "prefix": prefix, "label": label}
            await note(connection, actor, "key.create", target=str(issued.id), **about)
        return issued

    async def rotate(
        self, device: str, *, overlap: timedelta = OVERLAP, lifetime: timedelta | None = None, actor: str = UNNAMED
    ) -> Issued:
        """Make a new token for the device; of those it has the newest stays valid for `overlap`, others are revoked.

        Raises BadRequest and NotFound.
        """
        check_grant(Role.DEVICE, device=device, prefix="", label="", lifetime=lifetime)
        check_overlap(overlap)
        async with locked_registry(self._pool) as connection:
            device_id, live = await self._lock(connection, device)
            kept = 1 if overlap else 0
            for credential_id in live[:kept]:
                await connection.execute(query("expire_credential"), credential_id, self._now() + overlap)
            for credential_id in live[kept:]:
                await connection.execute(query("revoke_credential"), credential_id, self._now())
            issued = await self._insert(
                connection, Role.DEVICE, device_id=device_id, prefix="", label="", lifetime=lifetime
            )
            overlap_secs = overlap // timedelta(seconds=1)
            await note(connection, actor, "key.rotate", target=str(issued.id), device=device, overlap_secs=overlap_secs)
        return issued

    async def revoke(self, credential_id: int, *, actor: str = UNNAMED) -> None:
        """Make a token invalid for good, within a second in every worker; once is enough. Raises NotFound."""
        if not 0 < credential_id <= _MAX_ID:
            raise _no_such(credential_id)
        async with locked_registry(self._pool) as connection:
            row = await connection.fetchrow(query("credential_device"), credential_id)
            if row is None:
                raise _no_such(credential_id)
            if await connection.fetchval(query("revoke_credential"), credential_id, self._now()) is not None:
                await note(connection, actor, "key.revoke", target=str(credential_id), **row)

    async def page(
        self,
        *,
        device: str | None = None,
        role: Role | None = None,
        dead: bool = False,
        after: int = 0,
        limit: int = 100,
    ) -> list[Credential]:
        """Return credentials by id; with `dead` the revoked and expired too. The next page is after the last one's id.

        Raises BadRequest for a limit outside 1 … 1000, a malformed device or an impossible id.
        """
        if not (1 <= limit <= MAX_PAGE + 1 and 0 <= after <= _MAX_ID):
            raise BadRequest(f"limit must lie between 1 and {MAX_PAGE}, after between 0 and {_MAX_ID}")
        if device is not None:
            check_device_name(device)
        async with self._pool.connection() as connection:
            rows = await connection.fetch(query("list_credentials"), device, role, dead, self._now(), after, limit)
        return [_to_credential(row) for row in rows]

    def _now(self) -> datetime:
        return to_datetime(self._clock.now_us())

    async def _lock(self, connection: Connection, device: str) -> tuple[int, list[int]]:
        """Return the id of the device and its live credentials, newest first; others wait for this transaction."""
        device_id: int | None = await connection.fetchval(query("lock_device"), device)
        if device_id is None:
            raise UnknownDevice(f"there is no device {device!r}", device=device)
        rows = await connection.fetch(query("live_device_credentials"), device_id, self._now())
        return device_id, [row["id"] for row in rows]

    async def _insert(
        self,
        connection: Connection,
        role: Role,
        *,
        device_id: int | None,
        prefix: str,
        label: str,
        lifetime: timedelta | None,
    ) -> Issued:
        token = new_token(role, self._random)
        now = self._now()
        expires = None if lifetime is None else now + lifetime
        credential_id: int = await connection.fetchval(
            query("insert_credential"), digest_of(token), role, device_id, prefix, label, now, expires
        )
        return Issued(credential_id, token, expires)


def _no_such(credential_id: int) -> NotFound:
    return NotFound(
        f"there is no key {credential_id}; the admin key of the settings (auth.admin_key) has no id: it is valid as"
        " long as it is set"
    )


def _to_credential(row: asyncpg.Record) -> Credential:
    return Credential(
        id=row["id"],
        role=Role(row["role"]),
        device=row["device"],
        prefix=row["prefix"],
        label=row["label"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
    )
