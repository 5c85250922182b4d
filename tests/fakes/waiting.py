"""Wait for a condition, not for a time: returns as soon as it holds, fails when it does not hold in the end."""

import asyncio
from collections.abc import Callable

LIMIT_S = 60


async def until(condition: Callable[[], bool]) -> None:
    """Return once the condition holds. Raises TimeoutError after a minute."""
    async with asyncio.timeout(LIMIT_S):
        while not condition():  # noqa: ASYNC110 - the condition is another's, it tells nobody when it changes
            await asyncio.sleep(0.005)
