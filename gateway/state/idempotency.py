"""Idempotency on Redis or Valkey: one round trip a call, each bounded. Never needed to store a reading."""

import secrets
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Any

import redis.asyncio as redis

from gateway.core import settings
from gateway.core.errors import StateUnavailable
from gateway.domain.contracts.idempotency import Claim, KeptAnswer
from gateway.state.client import open_client, translated
from gateway.state.removed_devices import mark_of, time_of
from gateway.state.store import script

CLAIM_SECS = 10
"""How long a claim stands whose owner died; one that lives renews it."""
OWNER_BYTES = 16
FINGERPRINT_BYTES = 32
STATUS_BYTES = 2
TIME_BYTES = 8
STATUS_AT, TIME_AT = FINGERPRINT_BYTES, FINGERPRINT_BYTES + STATUS_BYTES
BODY_AT = TIME_AT + TIME_BYTES


class RedisIdempotency:
    """The kept receipts of one installation; receipts of another one would promise what this database does not hold."""

    def __init__(self, client: "redis.Redis", *, keep_secs: int) -> None:
        self._client = client
        self._keep_secs = keep_secs
        self._site = ""
        self._keep = client.register_script(script("keep"))
        self._release = client.register_script(script("release"))

    def belong_to(self, site: str) -> None:
        """Say which database the receipts are of, once that is known; until then none is kept or found."""
        self._site = site

    async def claim(self, key: str, fingerprint: bytes) -> KeptAnswer | Claim:
        """Return what is kept, or a claim: the caller goes on. Raises StateUnavailable."""
        name, owner = self._name(key), secrets.token_bytes(OWNER_BYTES)
        async with translated(), self._client.pipeline(transaction=False) as pipeline:
            pipeline.time()
            pipeline.set(name, _pack(Claim(fingerprint, owner, 0)), nx=True, ex=CLAIM_SECS)
            pipeline.get(name)
            (secs, micros), claimed, value = await pipeline.execute()
        if claimed or value is None:
            return Claim(fingerprint, owner, secs * 1_000_000 + micros)
        return _unpack(value)

    async def renew(self, key: str, claim: Claim) -> None:
        """Let a claim run out later. Raises StateUnavailable, as do those that follow."""
        await self._replace(key, claim, _pack(claim), secs=CLAIM_SECS)

    async def keep(self, key: str, claim: Claim, kept: KeptAnswer) -> None:
        """Keep an answer in place of the claim."""
        await self._replace(key, claim, _pack(kept), secs=self._keep_secs)

    async def release(self, key: str, held: Claim | KeptAnswer) -> None:
        """Give up a claim or an answer."""
        name = self._name(key)
        async with translated():
            await self._release(keys=[name], args=[_pack(held)])

    async def removed(self, devices: Collection[str], *, since_us: int) -> bool:
        """Return whether one of these devices was removed since then."""
        self._name("")
        if not devices:
            return False
        async with translated():
            marks: list[Any] = await self._client.mget([mark_of(self._site, device) for device in devices])
        return any(time_of(mark) >= since_us for mark in marks)

    async def _replace(self, key: str, claim: Claim, value: bytes, *, secs: int) -> None:
        name = self._name(key)
        async with translated():
            await self._keep(keys=[name], args=[_pack(claim), value, secs])

    def _name(self, key: str) -> bytes:
        """Return the Redis key; "/" keeps it apart from the names of devices, which the state is kept under."""
        if not self._site:
            raise StateUnavailable("the database, whose receipts these are, has not been reached yet")
        return f"gateway:{self._site}/answers:{key}".encode()


@asynccontextmanager
async def open_idempotency(branch: settings.RedisSettings, *, keep_secs: int) -> AsyncIterator[RedisIdempotency]:
    """Open the store; nothing is connected yet on return. Each wait is at most `redis.ack_wait_ms`."""
    wait_secs = branch.ack_wait_ms / 1000
    name = "device-gateway-receipts"
    async with open_client(branch.url, name=name, wait_secs=wait_secs, connect_secs=wait_secs) as client:
        yield RedisIdempotency(client, keep_secs=keep_secs)


def _pack(held: KeptAnswer | Claim) -> bytes:
    """Return the bytes; a claim's do not say since when it is, which is not known when it is made."""
    if isinstance(held, Claim):
        held = KeptAnswer(held.fingerprint, 0, held.owner)
    return held.fingerprint + held.status.to_bytes(STATUS_BYTES) + held.since_us.to_bytes(TIME_BYTES) + held.body


def _unpack(value: bytes) -> KeptAnswer:
    if len(value) < BODY_AT:
        raise StateUnavailable("a kept receipt is not one of ours")
    status = int.from_bytes(value[STATUS_AT:TIME_AT])
    since_us = int.from_bytes(value[TIME_AT:BODY_AT])
    return KeptAnswer(value[:FINGERPRINT_BYTES], status, value[BODY_AT:] if status else b"", since_us)
