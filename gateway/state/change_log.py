"""The change log on Redis or Valkey: what newest_wins.lua has logged, as batches of packed messages. Only reads.

The watch (watch.lua) says who logs: as long as any gateway renews it, and `keep` longer, every gateway's commits are
logged, so a reader may come back to any of them. It lies beside the state and ends with it: on a flush, another server,
a gateway that died or had to skip something.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import redis.asyncio as redis

from gateway.core import settings
from gateway.core.errors import StateUnavailable
from gateway.domain.changes import Logged, LogPosition
from gateway.domain.contracts.newest import NewestMessage
from gateway.state import codec
from gateway.state.client import open_client, translated
from gateway.state.store import LOG, WATCH, script

BLOCK_MS = 1000
"""Longest wait for an entry."""
TAKE = 20
"""Entries that one call returns at most; one of them may have megabytes."""
KEPT_LONGER_SECS = 60
"""How much longer than the log reaches back a watch lasts: a reader that comes back in time finds all of it."""
LOG_SHARE = 4
"""One of so many parts of maxmemory is for the log, at most: the rest is the newest state's."""
_LAST = 2**64 - 1
"""Ids begin with the offset, which no two entries share: what follows it is beyond every time."""


class RedisChangeLog:
    """The change log of one installation. One per worker, on a connection of its own: reading waits."""

    def __init__(self, client: "redis.Redis", limits: settings.LiveSettings, *, site: Callable[[], str]) -> None:
        """`site` returns which database's changes these are, empty as long as that is not known."""
        self._client = client
        self._site = site
        self._watch = client.register_script(script("watch"))
        window_ms = limits.replay_secs * 1000
        self._bounds = [window_ms, limits.replay_bytes, window_ms + KEPT_LONGER_SECS * 1000, LOG_SHARE]

    async def watch(self) -> LogPosition:
        """Have changes logged, and return the end of the log. Raises StateUnavailable."""
        async with translated():
            epoch, offset, ms = await self._watch(keys=[self._key(WATCH), self._key(LOG)], args=self._bounds)
            return LogPosition(epoch.decode(), int(offset), int(ms))

    async def after(self, position: LogPosition) -> list[Logged]:
        """Return the next entries, or none after BLOCK_MS. Raises StateUnavailable."""
        async with translated():
            start = f"{position.offset}-{_LAST}"
            streams: Any = await self._client.xread({self._key(LOG): start}, count=TAKE, block=BLOCK_MS)
            return [LogEntry(*each) for _, entries in streams for each in entries]

    async def between(self, position: LogPosition, upto: LogPosition) -> list[Logged]:
        """Return the oldest entries after one position and not after another. Raises StateUnavailable."""
        async with translated():
            start, end = f"{position.offset}-{_LAST}", f"{upto.offset}-{_LAST}"
            found: Any = await self._client.xrange(self._key(LOG), start, end, count=TAKE)
            return [LogEntry(*each) for each in found]

    def _key(self, name: bytes) -> bytes:
        site = self._site()
        if not site:
            raise StateUnavailable("the database, whose changes these are, has not been reached yet")
        return f"gateway:{site}:".encode() + name


class LogEntry:
    """`changes.Logged`: a committed batch, unpacked message by message when asked for."""

    __slots__ = ("_messages", "devices", "position", "size")

    def __init__(self, number: bytes, fields: dict[bytes, bytes]) -> None:
        (epoch, blob), *_ = fields.items()
        offset, _, ms = number.partition(b"-")
        self.position = LogPosition(epoch.decode(errors="replace"), int(offset), int(ms))
        self.size = len(blob)
        try:
            self._messages = codec.split(blob)
        except (ValueError, IndexError):
            self._messages, self.size = [], -1
        self.devices: Sequence[str] = [device for device, _, _ in self._messages]

    @property
    def shapes(self) -> set[int]:
        """The ids of the shapes of all messages."""
        return {int.from_bytes(field) for field in {field for _, field, _ in self._messages}}

    def message(self, i: int) -> NewestMessage:
        """Unpack one message. Raises ValueError."""
        _, field, packed = self._messages[i]
        try:
            return codec.unpack(field, packed)
        except codec.NOT_OURS as exc:
            raise ValueError(packed[:40]) from exc


@asynccontextmanager
async def open_change_log(
    branch: settings.RedisSettings, limits: settings.LiveSettings, *, site: Callable[[], str]
) -> AsyncIterator[RedisChangeLog]:
    """Open the log; nothing is connected yet on return, so it opens while Redis is away."""
    async with open_client(
        branch.url,
        name="device-gateway-live",
        wait_secs=branch.timeout_secs + BLOCK_MS / 1000,  # a wait for entries is no silence
        connect_secs=branch.timeout_secs,
        retries=0,
    ) as client:
        yield RedisChangeLog(client, limits, site=site)
