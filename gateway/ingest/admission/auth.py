"""Authentication: an Authorization header → the principal, or Unauthorized. Keeps and quotes only a token's SHA-256.

Known tokens are answered from memory, without waiting, also while the database is away, until they expire or `tell` is
told of a change, which says what they stand for now: nobody has to ask. Others are looked up (`look_ups`), and those
that nobody holds are remembered apart, so that they push no known one out.
"""

import asyncio
import hmac
import re
import time
from collections.abc import Callable, Mapping
from random import SystemRandom

from gateway.core.clock import Clock
from gateway.core.errors import SettingsError, Unauthorized
from gateway.domain.contracts.ingest import Credentials, HoldBack
from gateway.domain.credentials import TOKEN, digest_of
from gateway.domain.principal import Grant, Principal, Role
from gateway.ingest.admission.look_ups import KNOWN_BEFORE, LookUps
from gateway.ingest.admission.refusal_pace import RefusalPace
from gateway.telemetry import auth_events

MAX_TOKEN = 512
"""Characters of the longest token that is looked at."""
REFUSED_US = 1_000_000
"""How long a token that was not found is refused without asking again."""
MAX_REFUSED = 10_000
_B64TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*")  # RFC 6750 section 2.1


class TokenAuthenticator:
    """Tells who is calling. One per worker; wire `tell` and `heard` to `timescale.revisions.follow`."""

    def __init__(
        self,
        credentials: Credentials,
        *,
        admin_key: str,
        clock: Clock,
        max_look_ups: int = 8192,
        refusals_per_sec: float = 200,
        cache_size: int = 100_000,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raise SettingsError for a bootstrap key that cannot be sent as a token."""
        if admin_key and not (_B64TOKEN.fullmatch(admin_key) and len(admin_key) <= MAX_TOKEN):
            raise SettingsError(
                f"auth.admin_key must be at most {MAX_TOKEN} characters of A-Z a-z 0-9 - . _ ~ + / (then =)"
            )
        self._admin = digest_of(admin_key) if admin_key else None
        self._clock = clock
        self._cache_size = cache_size
        self._monotonic = monotonic
        self._known: dict[bytes, Grant] = {}
        self._known_before: dict[bytes, None] = {}
        """Known until all was forgotten: they are asked for before others."""
        self._refused: dict[bytes, int] = {}
        """Digest → when it was not found (µs)."""
        self._look_ups = LookUps(credentials, self._remember, most=max_look_ups)
        self._pace = RefusalPace(refusals_per_sec, SystemRandom())
        self._heard = monotonic()

    def principal(self, header: str | None) -> Principal | None:
        """Return who sent this Authorization header if that is known already; None: ask `authenticate`."""
        token = to_token(header)
        return None if token is None else self._recall(digest_of(token))

    def still(self, header: str | None, principal: Principal) -> bool | None:
        """Whether the header means this principal as before; None: that is not known any more, ask `authenticate`."""
        token = to_token(header)
        if token is None:
            return False
        digest = digest_of(token)
        now = self._recall(digest)
        if now is not None:
            return now == principal
        return False if digest in self._known or self._is_refused(digest) else None

    async def authenticate(
        self, header: str | None, address: str = "", *, hold_back: HoldBack = asyncio.sleep
    ) -> Principal:
        """Return who sent this Authorization header from this address.

        Raises Unauthorized, after `hold_back` while many are refused; for tokens that are not cached also
        SinkUnavailable, SinkFault and Overloaded.
        """
        token = to_token(header)
        principal = None if token is None else await self._find(token, address)
        if principal is not None:
            return principal
        secs = self._pace.wait(self._monotonic())
        if secs:
            auth_events.held_back()
            await hold_back(secs)
        if header is None:
            raise Unauthorized
        if token is None:
            raise Unauthorized("the Authorization header must be 'Bearer <token>'")
        raise Unauthorized("this token is not known or has expired")

    def tell(self, changes: Mapping[bytes, Grant | None]) -> None:
        """Believe what these tokens stand for now; None: nobody holds them."""
        self._look_ups.tell(changes)
        for digest, grant in changes.items():
            if digest in self._known or digest in self._known_before or digest in self._refused:
                self._remember(digest, grant)

    def forget(self) -> None:
        """Believe nothing that was cached: all may have changed. Tokens are looked up when next presented."""
        self._look_ups.tell(None)
        self._known_before |= dict.fromkeys(self._known)
        _make_room(self._known_before, self._cache_size)
        self._known.clear()
        self._refused.clear()

    def heard(self) -> None:
        """Note that all changes until a moment ago were told."""
        self._heard = self._monotonic()

    def unheard_secs(self, header: str | None) -> float:
        """For how many seconds a change of this credential could not have been heard of; 0 of the bootstrap key."""
        token = to_token(header)
        if token is not None and self._is_bootstrap(digest_of(token)):
            return 0.0
        return self._monotonic() - self._heard

    async def close(self) -> None:
        """Give up the look-ups in hand."""
        await self._look_ups.close()

    async def _find(self, token: str, address: str) -> Principal | None:
        digest = digest_of(token)
        principal = self._recall(digest)
        if principal is not None or digest in self._known or self._is_refused(digest) or not TOKEN.fullmatch(token):
            return principal
        place = KNOWN_BEFORE if digest in self._known_before else address
        return self._valid(await self._look_ups.find(digest, place))

    def _recall(self, digest: bytes) -> Principal | None:
        known = self._known.get(digest)
        if known is not None:
            return self._valid(known)
        if self._is_bootstrap(digest):
            self._remember(digest, Grant(Principal(Role.ADMIN)))
            return self._known[digest].principal
        return None

    def _is_bootstrap(self, digest: bytes) -> bool:
        return self._admin is not None and hmac.compare_digest(digest, self._admin)

    def _valid(self, known: Grant | None) -> Principal | None:
        if known is None or (known.expires_us is not None and self._clock.now_us() >= known.expires_us):
            return None
        return known.principal

    def _is_refused(self, digest: bytes) -> bool:
        at = self._refused.get(digest)
        return at is not None and 0 <= self._clock.now_us() - at < REFUSED_US

    def _remember(self, digest: bytes, grant: Grant | None) -> None:
        self._known_before.pop(digest, None)
        if grant is None:
            self._known.pop(digest, None)
            _make_room(self._refused, MAX_REFUSED - 1)
            self._refused[digest] = self._clock.now_us()
        else:
            self._refused.pop(digest, None)
            _make_room(self._known, self._cache_size - 1)
            self._known[digest] = grant


def _make_room(cache: dict[bytes, Grant] | dict[bytes, int] | dict[bytes, None], size: int) -> None:
    """Drop the oldest entries of a cache until no more than `size` are left."""
    while len(cache) > size:
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
