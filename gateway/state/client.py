"""Client of Redis or Valkey, with its errors as ours. Connects when first used."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisGone
from redis.exceptions import RedisError

from gateway.core.errors import SettingsError, StateUnavailable


@asynccontextmanager
async def open_client(
    url: str, *, name: str, wait_secs: float, connect_secs: float, retries: int = 1
) -> AsyncIterator["redis.Redis"]:
    """Open a client; nothing is connected yet on return, so it opens while Redis is away. Times in seconds.

    A connection that has ended is tried anew `retries` times, a time-out never: it must not count twice.
    Raises SettingsError for a URL that cannot be meant.
    """
    try:
        _require_whole(url)
        client = redis.Redis.from_url(
            url,
            socket_timeout=wait_secs,
            socket_connect_timeout=connect_secs,
            retry=Retry(NoBackoff(), retries, supported_errors=(RedisGone,)),
            client_name=name,
        )
        client.connection_pool.make_connection()  # type: ignore[no-untyped-call] # or unknown options of the URL show at first use
    except (ValueError, TypeError):  # its words may quote a part of the password
        raise SettingsError(
            "redis.url cannot be read; its form is redis://user:password@host:port/0, rediss:// for TLS,"
            " or unix:///path, with special characters percent-encoded"
        ) from None
    try:
        yield client
    finally:
        await client.aclose()


def _require_whole(url: str) -> None:
    """Raise ValueError if a character of the password has torn the URL: its rest would be shown as a host."""
    parts = urlsplit(url)
    if parts.fragment or "@" in parts.query or (parts.scheme != "unix" and "@" in parts.path):
        raise ValueError


@asynccontextmanager
async def translated() -> AsyncIterator[None]:
    """Turn the library's errors into StateUnavailable; the original is its `__cause__`."""
    try:
        yield
    except (RedisError, OSError, TimeoutError) as exc:
        raise StateUnavailable from exc
