"""A watch on an event loop: the longest stretch of CPU between two of its turns, whatever else the machine does."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.core.tasks import end


class LoopWatch:
    """What was seen."""

    def __init__(self) -> None:
        self.longest_secs = 0.0
        """CPU seconds."""

    async def run(self) -> None:
        """Look in every turn of the loop, until cancelled."""
        last = time.process_time()
        while True:
            await asyncio.sleep(0)
            now = time.process_time()
            self.longest_secs = max(self.longest_secs, now - last)
            last = now


@asynccontextmanager
async def watching() -> AsyncIterator[LoopWatch]:
    """Watch the running loop until the end of the block."""
    watch = LoopWatch()
    task = asyncio.create_task(watch.run(), name="loop.watch")
    try:
        yield watch
    finally:
        await end(task)
