"""A view that many ask for: one look is shown for a second, so that a hundred open pages cost one. Knows no view."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

KEEP_SECS = 1.0

View = Mapping[str, Any]


class CachedView:
    """The newest view of one worker."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._looking = asyncio.Lock()
        self._seen: View | None = None
        self._until = 0.0

    async def get(self, look: Callable[[], Awaitable[View]]) -> View:
        """Return what was seen within the last second, else look; whoever comes meanwhile waits for that look."""
        async with self._looking:
            if self._seen is None or self._monotonic() >= self._until:
                self._seen = await look()
                self._until = self._monotonic() + KEEP_SECS
            return self._seen
