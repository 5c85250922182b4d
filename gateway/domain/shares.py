"""Shares: how much of one thing a caller may have at once, so that one cannot keep it from all others.

Who is over its share waits for a place of its own to become free, for a while, and disturbs nobody meanwhile.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

from gateway.core.errors import TooManyAtOnce


class Share(NamedTuple):
    """What a caller may have."""

    most: int
    limit: str
    """The setting that says so."""
    what: str
    """Whose it is, or of what it may have so many, in words."""
    wait_secs: float = 0.0
    """How long a place is waited for."""


class _Places:
    """Those of one caller."""

    __slots__ = ("free", "users")

    def __init__(self, most: int) -> None:
        self.free = asyncio.Semaphore(most)
        self.users = 0
        """Who has a place or waits for one."""


class Shares:
    """The places that callers have; `on_refused` hears of the setting that refused somebody."""

    def __init__(self, share: Share, *, on_refused: Callable[[str], None]) -> None:
        self._share = share
        self._on_refused = on_refused
        self._places: dict[str, _Places] = {}

    def __len__(self) -> int:
        """Return how many callers have a place or wait for one."""
        return len(self._places)

    @asynccontextmanager
    async def place(self, caller: str, *, wait_secs: float | None = None) -> AsyncIterator[None]:
        """Lend a place of this caller. Raises TooManyAtOnce if none becomes free in so many seconds."""
        places = self._places.get(caller) or self._places.setdefault(caller, _Places(self._share.most))
        places.users += 1
        try:
            await self._take(places.free, self._share.wait_secs if wait_secs is None else wait_secs)
            try:
                yield
            finally:
                places.free.release()
        finally:
            places.users -= 1
            if not places.users:
                del self._places[caller]

    async def _take(self, free: asyncio.Semaphore, wait_secs: float) -> None:
        if not free.locked():
            await free.acquire()  # there is one: this does not wait
            return
        try:
            async with asyncio.timeout(wait_secs):
                await free.acquire()
        except TimeoutError:
            share = self._share
            self._on_refused(share.limit)
            raise TooManyAtOnce(
                f"this credential has {share.most} {share.what} under way, and no more may be ({share.limit}); wait for"
                " one to end, or ask for less at once",
                limit=share.limit,
                value=share.most,
            ) from None
