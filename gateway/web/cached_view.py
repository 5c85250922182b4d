"""Many askers in, one look out: what was seen is shown again for a second. So that a hundred open pages cost one."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

KEEP_SECS = 1.0

View = Mapping[str, Any]


class Glance:
    """The newest look of one worker."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._looking = asyncio.Lock()
        self._seen: View | None = None
        self._until = 0.0

    async def take(self, look: Callable[[], Awaitable[View]]) -> View:
        """Return what was seen within the last second, else look; whoever comes meanwhile waits for that look."""
        async with self._looking:
            if self._seen is None or self._monotonic() >= self._until:
                self._seen = await look()
                self._until = self._monotonic() + KEEP_SECS
            return self._seen
