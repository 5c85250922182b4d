"""Answers by Idempotency-Key: what keeps them, and what is kept."""

from collections.abc import Collection
from typing import NamedTuple, Protocol


class AnswerKey(NamedTuple):
    """What an answer is kept under."""

    credential: str
    """A digest: whose share of the bytes it counts against."""
    key: str
    """A digest of the key within its credential."""


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

    async def claim(self, key: AnswerKey, fingerprint: bytes) -> KeptAnswer | Claim:
        """Return what is kept, or a claim: the caller goes on."""
        ...

    async def renew(self, key: AnswerKey, claim: Claim) -> None:
        """Let a claim run out later. Without effect if the key is somebody else's by now, as in what follows."""
        ...

    async def keep(self, key: AnswerKey, claim: Claim, kept: KeptAnswer) -> bool:
        """Keep an answer in place of the claim; False, and the claim stays, if it is larger than one may be.

        Older answers give way to it: its credential's own, and where all take too much those of whoever holds most.
        """
        ...

    async def release(self, key: AnswerKey, held: Claim | KeptAnswer) -> None:
        """Give up a claim, since nothing was answered that could be repeated, or an answer that holds no more."""
        ...

    async def removed(self, devices: Collection[str], *, since_us: int) -> bool:
        """Return whether one of these devices was removed since then."""
        ...
