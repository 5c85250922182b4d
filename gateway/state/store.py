"""`contracts.LiveState` on Redis or Valkey: one script call per batch, one round trip per read."""

import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisGone
from redis.exceptions import RedisError

from gateway import settings
from gateway.contracts import Newest
from gateway.errors import StateUnavailable
from gateway.model import Block
from gateway.state import packing

SCRIPT = (Path(__file__).parent / "newest_wins.lua").read_text()


class RedisState:
    """The state of one installation; `site` names the database it is derived from, so that no other is read."""

    def __init__(self, client: "redis.Redis", *, site: str) -> None:
        self._client = client
        self._site = site
        self._script = client.register_script(SCRIPT)

    @property
    def _prefix(self) -> bytes:
        if not self._site:
            raise StateUnavailable("the database, whose state this is, has not been reached yet")
        return f"gateway:{self._site}:".encode()

    def belong_to(self, site: str) -> None:
        """Say which database this is the state of, once that is known; until then nothing is read or written."""
        self._site = site

    async def apply(self, blocks: Sequence[Block]) -> None:
        """Keep each message if it is not older than what is there. Raises StateUnavailable."""
        blob = b"".join([packing.to_blob(block) for block in blocks])
        if blob:
            async with _translated():
                await self._script(keys=[self._prefix], args=[blob])

    async def read(self, devices: Sequence[str]) -> list[list[Newest]]:
        """Return what is known of each device, in order. Raises StateUnavailable."""
        async with _translated():
            if len(devices) == 1:
                hashes: list[dict[Any, Any]] = [await self._client.hgetall(self._prefix + devices[0].encode())]
            else:
                async with self._client.pipeline(transaction=False) as pipeline:
                    for device in devices:
                        pipeline.hgetall(self._prefix + device.encode())
                    hashes = await pipeline.execute()
            return [[packing.unpack(field, packed) for field, packed in fields.items()] for fields in hashes]

    async def ping(self) -> None:
        """Raise StateUnavailable if the server does not answer."""
        async with _translated():
            await self._client.ping()

    async def facts(self) -> dict[str, str]:
        """Say what the server is and what it does when its memory is full. Raises StateUnavailable."""
        async with _translated():
            info = await self._client.info()
        name = "Valkey" if "valkey_version" in info else "Redis"
        version = info.get("valkey_version") or info.get("redis_version", "?")
        return {"server": f"{name} {version}", "policy": str(info.get("maxmemory_policy", "unknown"))}


@asynccontextmanager
async def open_state(branch: settings.Redis, *, site: str = "") -> AsyncIterator[RedisState]:
    """Open the store; nothing is connected yet on return, so it opens while Redis is away."""
    client = redis.Redis.from_url(
        branch.url,
        socket_timeout=branch.timeout_secs,
        socket_connect_timeout=branch.timeout_secs,
        retry=Retry(NoBackoff(), 1, supported_errors=(RedisGone,)),  # a time-out must not count twice
        client_name="device-gateway",
    )
    try:
        yield RedisState(client, site=site)
    finally:
        await client.aclose()


@asynccontextmanager
async def _translated() -> AsyncIterator[None]:
    try:
        yield
    except (RedisError, OSError, TimeoutError, struct.error, UnicodeDecodeError) as exc:  # the last two: not our bytes
        raise StateUnavailable from exc
