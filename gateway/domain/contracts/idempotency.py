"""Answers by Idempotency-Key: what keeps them, and what is kept."""

from collections.abc import Collection
from typing import NamedTuple, Protocol


class KeptAnswer(NamedTuple):
    """The answer to a request, or with status 0 the claim of one that is still running."""

    fingerprint: bytes
    """32 bytes, of the whole request."""
    status: int
    body: bytes
    since_us: int = 0
    """When its key was claimed, on the clock of whoever keeps it."""


class Claim(NamedTuple):
    """The right to answer under a key, until it runs out: nobody else's calls can undo it."""

    fingerprint: bytes
    owner: bytes
    """Random."""
    since_us: int


class IdempotencyStore(Protocol):
    """Answers by idempotency key, for a while. A loss costs nothing but a repeated body that is taken in again.

    All methods raise StateUnavailable.
    """

    async def claim(self, key: str, fingerprint: bytes) -> KeptAnswer | Claim:
        """Return what is kept, or a claim: the caller goes on."""
        ...

    async def renew(self, key: str, claim: Claim) -> None:
        """Let a claim run out later. Without effect if the key is somebody else's by now, as in what follows."""
        ...

    async def keep(self, key: str, claim: Claim, kept: KeptAnswer) -> None:
        """Keep an answer in place of the claim."""
        ...

    async def release(self, key: str, held: Claim | KeptAnswer) -> None:
        """Give up a claim, since nothing was answered that could be repeated, or an answer that holds no more."""
        ...

    async def removed(self, devices: Collection[str], *, since_us: int) -> bool:
        """Return whether one of these devices was removed since then."""
        ...
