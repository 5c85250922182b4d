"""Background tasks, and how they end: who starts one that runs for long ends it here."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

AGAIN_SECS = 0.5
"""A task that has not ended by then is asked once more."""


async def end(*tasks: "asyncio.Future[Any]") -> None:
    """Cancel tasks; return when they have ended, however they end.

    Once is not enough: up to Python 3.11 `asyncio.wait_for` forgets a cancellation that comes together with the result
    (CPython issue 86296), and redis-py writes each command through it, aiomqtt each subscription.
    """
    left = {task for task in tasks if not task.done()}
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=AGAIN_SECS)


@asynccontextmanager
async def background(work: Coroutine[Any, Any, None], *, name: str) -> AsyncIterator[None]:
    """Do this in a task of this name, until the end of the block."""
    task = asyncio.create_task(work, name=name)
    try:
        yield
    finally:
        await end(task)
