"""In: a chore and how often it is due. Out: a task that does it until the block ends. Never two rounds at once."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from gateway.ending import beside


@asynccontextmanager
async def repeating(
    chore: Callable[[], Awaitable[None]],
    *,
    name: str,
    every_secs: float,
    on_failure: Callable[[Exception], None],
) -> AsyncIterator[None]:
    """Do the chore now and then every so many seconds, in a task of this name, until the end of the block.

    A round that fails is told to `on_failure`, and the chore is due again next time.
    """
    async with beside(_repeat(chore, every_secs=every_secs, on_failure=on_failure), name=name):
        yield


async def _repeat(
    chore: Callable[[], Awaitable[None]], *, every_secs: float, on_failure: Callable[[Exception], None]
) -> None:
    while True:
        try:
            await chore()
        except Exception as exc:  # noqa: BLE001 - not even a mistake of ours may end it: what it tidies would only grow
            on_failure(exc)
        await asyncio.sleep(every_secs)
