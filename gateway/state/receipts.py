"""`contracts.Receipts` on Redis or Valkey: one round trip a call, each bounded. Never needed to store a reading."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import redis.asyncio as redis

from gateway import settings
from gateway.contracts import Kept
from gateway.errors import StateUnavailable
from gateway.state.client import open_client, translated

CLAIM_SECS = 10
"""How long a claim stands whose owner died. A slower owner loses it to a repeat, which the readings' keys absorb."""
FINGERPRINT_BYTES = 32
STATUS_BYTES = 2
MIN_BYTES = FINGERPRINT_BYTES + STATUS_BYTES


class RedisReceipts:
    """The kept receipts of one installation; receipts of another one would promise what this database does not hold."""

    def __init__(self, client: "redis.Redis", *, keep_secs: int) -> None:
        self._client = client
        self._keep_secs = keep_secs
        self._site = ""

    def belong_to(self, site: str) -> None:
        """Say which database the receipts are of, once that is known; until then none is kept or found."""
        self._site = site

    async def claim(self, key: str, fingerprint: bytes) -> Kept | None:
        """Return what is kept, or None: the key is claimed now, and the caller goes on. Raises StateUnavailable."""
        name = self._name(key)
        async with translated(), self._client.pipeline(transaction=False) as pipeline:
            pipeline.set(name, _pack(Kept(fingerprint, 0, b"")), nx=True, ex=CLAIM_SECS)
            pipeline.get(name)
            claimed, value = await pipeline.execute()
        return None if claimed or value is None else _unpack(value)

    async def keep(self, key: str, kept: Kept) -> None:
        """Keep an answer in place of the claim. Raises StateUnavailable."""
        async with translated():
            await self._client.set(self._name(key), _pack(kept), ex=self._keep_secs)

    async def release(self, key: str) -> None:
        """Give up a claim: nothing was answered that could be repeated. Raises StateUnavailable."""
        async with translated():
            await self._client.delete(self._name(key))

    def _name(self, key: str) -> bytes:
        """Return the Redis key; "/" keeps it apart from the names of devices, which the state is kept under."""
        if not self._site:
            raise StateUnavailable("the database, whose receipts these are, has not been reached yet")
        return f"gateway:{self._site}/receipts:{key}".encode()


@asynccontextmanager
async def open_receipts(branch: settings.Redis, *, keep_secs: int) -> AsyncIterator[RedisReceipts]:
    """Open the store; nothing is connected yet on return. Each wait is at most `redis.ack_wait_ms`."""
    wait_secs = branch.ack_wait_ms / 1000
    name = "device-gateway-receipts"
    async with open_client(branch.url, name=name, wait_secs=wait_secs, connect_secs=wait_secs) as client:
        yield RedisReceipts(client, keep_secs=keep_secs)


def _pack(kept: Kept) -> bytes:
    return kept.fingerprint + kept.status.to_bytes(STATUS_BYTES) + kept.body


def _unpack(value: bytes) -> Kept:
    if len(value) < MIN_BYTES:
        raise StateUnavailable("a kept receipt is not one of ours")
    status = int.from_bytes(value[FINGERPRINT_BYTES:MIN_BYTES])
    return Kept(value[:FINGERPRINT_BYTES], status, value[MIN_BYTES:])
