"""Authentication: an Authorization header → the principal, or Unauthorized. Keeps and quotes only a token's SHA-256.

Known tokens are answered from memory, without waiting; others are looked up once for all who ask at the same time. What
is cached stays valid until it expires or `forget` is told of a change, so it still counts while the database is away.
"""

import asyncio
import hmac
import re
from collections.abc import Collection
from typing import NamedTuple

from gateway.core.clock import Clock
from gateway.core.errors import Overloaded, SettingsError, Unauthorized
from gateway.core.single_flight import SingleFlight
from gateway.domain.contracts.ingest import Credentials
from gateway.domain.credentials import TOKEN, digest_of
from gateway.domain.principal import Principal, Role
from gateway.telemetry import events

MAX_TOKEN = 512
"""Characters of the longest token that is looked at."""
MAX_LOOK_UPS = 1024
"""Different tokens that may wait for their look-up; more are Overloaded."""
LOOK_UP_SLOTS = 8
"""Look-ups in the database at once."""
REFUSED_US = 1_000_000
"""How long a token that was not found is refused without asking again."""
MAX_REFUSED = 10_000
_LIMIT = "auth.look_ups"
_ATTEMPTS = 3
_NEVER = 2**63
_B64TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*")  # RFC 6750 section 2.1


class _Known(NamedTuple):
    principal: Principal
    expires_us: int


class TokenAuthenticator:
    """Tells who is calling. One per worker; wire `forget` to `timescale.revisions.follow`."""

    def __init__(self, credentials: Credentials, *, admin_key: str, clock: Clock, cache_size: int = 100_000) -> None:
        """Raise SettingsError for a bootstrap key that cannot be sent as a token."""
        if admin_key and not (_B64TOKEN.fullmatch(admin_key) and len(admin_key) <= MAX_TOKEN):
            raise SettingsError(
                f"auth.admin_key must be at most {MAX_TOKEN} characters of A-Z a-z 0-9 - . _ ~ + / (then =)"
            )
        self._credentials = credentials
        self._admin = digest_of(admin_key) if admin_key else None
        self._clock = clock
        self._cache_size = cache_size
        self._known: dict[bytes, _Known] = {}
        self._refused: dict[bytes, int] = {}
        """Digest → when it was not found (µs)."""
        self._look_ups = SingleFlight[bytes, _Known | None]("auth.look_up")
        self._slots = asyncio.Semaphore(LOOK_UP_SLOTS)
        self._generation = 0
        """Grows with every `forget`: an answer that was asked for earlier must not be cached."""

    def principal(self, header: str | None) -> Principal | None:
        """Return who sent this Authorization header if that is known already; None: ask `authenticate`."""
        token = to_token(header)
        return None if token is None else self._recall(digest_of(token))

    async def authenticate(self, header: str | None) -> Principal:
        """Return who sent this Authorization header.

        Raises Unauthorized; for tokens that are not cached also SinkUnavailable, SinkFault and Overloaded.
        """
        if header is None:
            raise Unauthorized
        token = to_token(header)
        if token is None:
            raise Unauthorized("the Authorization header must be 'Bearer <token>'")
        digest = digest_of(token)
        principal = self._recall(digest)
        if principal is None and TOKEN.fullmatch(token) and not self._is_refused(digest):
            principal = self._valid(await self._ask(digest))
        if principal is None:
            raise Unauthorized("this token is not known or has expired")
        return principal

    def forget(self, digests: Collection[bytes] | None) -> None:
        """Drop what is cached of these tokens (None: of all); they are looked up when next presented."""
        self._generation += 1
        if digests is None:
            self._known.clear()
            self._refused.clear()
            return
        for digest in digests:
            self._known.pop(digest, None)
            self._refused.pop(digest, None)

    async def close(self) -> None:
        """Give up the look-ups in hand."""
        await self._look_ups.close()

    def _recall(self, digest: bytes) -> Principal | None:
        known = self._known.get(digest)
        if known is not None:
            return self._valid(known)
        if self._admin is not None and hmac.compare_digest(digest, self._admin):
            self._remember(digest, _Known(Principal(Role.ADMIN), _NEVER))
            return self._known[digest].principal
        return None

    def _valid(self, known: _Known | None) -> Principal | None:
        if known is None or (known.expires_us != _NEVER and self._clock.now_us() >= known.expires_us):
            return None
        return known.principal

    def _is_refused(self, digest: bytes) -> bool:
        at = self._refused.get(digest)
        return at is not None and 0 <= self._clock.now_us() - at < REFUSED_US

    async def _ask(self, digest: bytes) -> _Known | None:
        """Join the look-up of this token or start it."""
        if digest not in self._look_ups and len(self._look_ups) >= MAX_LOOK_UPS:
            events.overloaded(_LIMIT)
            raise Overloaded(f"{MAX_LOOK_UPS} new tokens are being looked up", limit=_LIMIT)
        return await self._look_ups.do(digest, lambda: self._look_up(digest))

    async def _look_up(self, digest: bytes) -> _Known | None:
        """Ask the store. An answer that a `forget` may have overtaken is asked for again, and never cached."""
        known = None
        for _ in range(_ATTEMPTS):
            async with self._slots:
                generation = self._generation
                found = await self._credentials.find(digest)
            known = None if found is None else _Known(found[0], _NEVER if found[1] is None else found[1])
            if generation == self._generation:
                self._remember(digest, known)
                break
        return known

    def _remember(self, digest: bytes, known: _Known | None) -> None:
        if known is None:
            _make_room(self._refused, MAX_REFUSED)
            self._refused[digest] = self._clock.now_us()
        else:
            _make_room(self._known, self._cache_size)
            self._known[digest] = known


def _make_room(cache: dict[bytes, _Known] | dict[bytes, int], size: int) -> None:
    """Drop the oldest entry of a full cache."""
    if len(cache) >= size:
        del cache[next(iter(cache))]


def to_token(header: str | None) -> str | None:
    """Return the token of 'Bearer <token>' (RFC 6750; any case, RFC 9110 section 11.1); None if malformed."""
    if header is None:
        return None
    scheme, _, token = header.partition(" ")
    if scheme != "Bearer" and scheme.lower() != "bearer":
        return None
    token = token.strip(" \t")
    return token if 0 < len(token) <= MAX_TOKEN and token.isascii() else None
