"""Idempotency on Redis or Valkey: one round trip a call, each bounded. Never needed to store a reading.

What is kept is bounded in bytes, for each credential and in all: see keep_answer.lua. All together never have more than
a share of a server's maxmemory, so that the newest state always has the rest.
"""

import asyncio
import secrets
import zlib
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Any

import redis.asyncio as redis

from gateway.core import settings
from gateway.core.errors import StateUnavailable
from gateway.domain.contracts.idempotency import AnswerKey, Claim, KeptAnswer
from gateway.state.client import open_client, translated
from gateway.state.removed_devices import mark_of, time_of
from gateway.state.store import script
from gateway.telemetry import state_events

CLAIM_SECS = 10
"""How long a claim stands whose owner died; one that lives renews it."""
MAX_ANSWER_BYTES = 64 * 1024
"""Of one answer, packed."""
MAX_PLAIN_BYTES = 512 * 1024
"""Of one answer as it was sent: packing more would hold the event loop up."""
SMALL_BYTES = 256
"""Bodies up to this size are kept as they are."""
ENTRY_BYTES = 160
"""What an answer takes in Redis besides its key and itself, about: in a hash, in a list."""
MEMORY_SHARE = 8
"""One of so many parts of maxmemory is for answers."""
MEMORY_SECS = 10.0
"""How often it is asked for."""
OWNER_BYTES = 16
FINGERPRINT_BYTES = 32
STATUS_BYTES = 2
TIME_BYTES = 8
STATUS_AT, TIME_AT = FINGERPRINT_BYTES, FINGERPRINT_BYTES + STATUS_BYTES
BODY_AT = TIME_AT + TIME_BYTES
PLAIN, PACKED = b"\0", b"\1"


class RedisIdempotency:
    """The kept receipts of one installation; receipts of another one would promise what this database does not hold."""

    def __init__(self, client: "redis.Redis", http: settings.HttpSettings) -> None:
        self._client: Any = client
        self._keep_secs = http.idempotency_hours * 3600
        self._all_bytes = http.idempotency_bytes
        self._credential_bytes = http.idempotency_credential_bytes
        self._site = ""
        self._renew = client.register_script(script("renew_claim"))
        self._claim = client.register_script(script("claim_answer"))
        self._keep = client.register_script(script("answers") + script("keep_answer"))
        self._release = client.register_script(script("answers") + script("release_answer"))
        self._most_bytes = 0
        """As maxmemory has it; 0: as the settings do."""
        self._memory_at = float("-inf")
        """Loop time from which maxmemory is to be asked for."""

    def belong_to(self, site: str) -> None:
        """Say which database the receipts are of, once that is known; until then none is kept or found."""
        self._site = site

    async def claim(self, key: AnswerKey, fingerprint: bytes) -> KeptAnswer | Claim:
        """Return what is kept, or a claim: the caller goes on. Raises StateUnavailable."""
        owner, names = secrets.token_bytes(OWNER_BYTES), self._names()
        keys = [names + key.key.encode(), names + b"of:" + key.credential.encode()]
        args: list[str | bytes | int] = [key.key, _pack(Claim(fingerprint, owner, 0)), CLAIM_SECS]
        async with translated():
            secs, micros, claimed, value = await self._claim(keys=keys, args=args)
        if claimed or value is None:
            return Claim(fingerprint, owner, int(secs) * 1_000_000 + int(micros))
        return _unpack(value)

    async def renew(self, key: AnswerKey, claim: Claim) -> None:
        """Let a claim run out later. Raises StateUnavailable, as do those that follow."""
        names = self._names()
        async with translated():
            await self._renew(keys=[names + key.key.encode()], args=[_pack(claim), CLAIM_SECS])

    async def keep(self, key: AnswerKey, claim: Claim, kept: KeptAnswer) -> bool:
        """Keep an answer in place of the claim; False if it is too large."""
        names, value = self._names(), _pack(kept) if len(kept.body) <= MAX_PLAIN_BYTES else b""
        if not 0 < len(value) <= MAX_ANSWER_BYTES:
            return False
        keys = [names + key.key.encode(), *_books(names)]
        args: list[str | bytes | int] = [_pack(claim), key.key, value, key.credential, self._keep_secs]
        async with translated():
            args += [self._credential_bytes, await self._room(), names, ENTRY_BYTES]
            own, others = await self._keep(keys=keys, args=args)
        state_events.answers_gave_way(int(own), int(others))
        return True

    async def release(self, key: AnswerKey, held: Claim | KeptAnswer) -> None:
        """Give up a claim or an answer."""
        names = self._names()
        keys = [names + key.key.encode(), *_books(names)]
        async with translated():
            await self._release(keys=keys, args=[_pack(held), key.key, key.credential, names])

    async def removed(self, devices: Collection[str], *, since_us: int) -> bool:
        """Return whether one of these devices was removed since then."""
        self._names()
        if not devices:
            return False
        async with translated():
            marks: list[Any] = await self._client.mget([mark_of(self._site, device) for device in devices])
        return any(time_of(mark) >= since_us for mark in marks)

    async def _room(self) -> int:
        """Return how many bytes all answers may take."""
        now = asyncio.get_running_loop().time()
        if now >= self._memory_at:
            self._memory_at = now + MEMORY_SECS
            maxmemory = int((await self._client.info("memory")).get("maxmemory", 0))
            self._most_bytes = maxmemory // MEMORY_SHARE
        return min(self._all_bytes, self._most_bytes or self._all_bytes)

    def _names(self) -> bytes:
        """Return how the names of keys begin; "/" keeps them apart from those of devices."""
        if not self._site:
            raise StateUnavailable("the database, whose receipts these are, has not been reached yet")
        return f"gateway:{self._site}/answers:".encode()


@asynccontextmanager
async def open_idempotency(
    branch: settings.RedisSettings, http: settings.HttpSettings
) -> AsyncIterator[RedisIdempotency]:
    """Open the store; nothing is connected yet on return. Each wait is at most `redis.ack_wait_ms`."""
    wait_secs = branch.ack_wait_ms / 1000
    name = "device-gateway-receipts"
    async with open_client(branch.url, name=name, wait_secs=wait_secs, connect_secs=wait_secs) as client:
        yield RedisIdempotency(client, http)


def _books(names: bytes) -> list[bytes]:
    return [names + b"shares", names + b"ends"]


def _pack(held: KeptAnswer | Claim) -> bytes:
    """Return the bytes; a claim's do not say since when it is, which is not known when it is made."""
    if isinstance(held, Claim):
        held = KeptAnswer(held.fingerprint, 0, held.owner)
    packed = PLAIN + held.body if len(held.body) <= SMALL_BYTES else PACKED + zlib.compress(held.body, 1)
    return held.fingerprint + held.status.to_bytes(STATUS_BYTES) + held.since_us.to_bytes(TIME_BYTES) + packed


def _unpack(value: bytes) -> KeptAnswer:
    if len(value) <= BODY_AT:
        raise StateUnavailable("a kept receipt is not one of ours")
    status = int.from_bytes(value[STATUS_AT:TIME_AT])
    since_us = int.from_bytes(value[TIME_AT:BODY_AT])
    return KeptAnswer(value[:FINGERPRINT_BYTES], status, _to_body(value[BODY_AT:]) if status else b"", since_us)


def _to_body(packed: bytes) -> bytes:
    how, body = packed[:1], packed[1:]
    if how == PLAIN:
        return body
    try:
        return zlib.decompress(body)
    except zlib.error as exc:
        raise StateUnavailable("a kept receipt is not one of ours") from exc
