"""Periodic jobs: each is done now and then in a task of its own until the block ends. Never two rounds at once."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Protocol

from gateway.core.errors import GatewayError
from gateway.core.tasks import background


class Recovered(Protocol):
    """Hears that what had failed works again."""

    def __call__(self, job: str, /, *, failures: int, secs: float) -> None:
        """So many failures in a row, over so many seconds, are over."""


@asynccontextmanager
async def repeating(
    job: Callable[[], Awaitable[None]],
    *,
    name: str,
    every_secs: float,
    on_failure: Callable[[Exception], None],
    on_recovery: Recovered,
) -> AsyncIterator[None]:
    """Do the job now and then every so many seconds, in a task of this name, until the end of the block.

    The job is due again after a round that failed. Of failures in a row `on_failure` hears the first of each kind,
    and `on_recovery` how many there were, in how many seconds, when it works again.
    """
    failures = _Failures(name, on_recovery)
    async with background(_repeat(job, failures, every_secs=every_secs, on_failure=on_failure), name=name):
        yield


class _Failures:
    """Those in a row."""

    def __init__(self, job: str, on_recovery: Recovered) -> None:
        self._job = job
        self._on_recovery = on_recovery
        self._kinds: set[str] = set()
        self._count = 0
        self._since = 0.0

    def add(self, exc: Exception) -> bool:
        """Take note of one; return whether it is the first of its kind."""
        if not self._count:
            self._since = asyncio.get_running_loop().time()
        self._count += 1
        kind = exc.code if isinstance(exc, GatewayError) else type(exc).__name__
        is_new = kind not in self._kinds
        self._kinds.add(kind)
        return is_new

    def end(self) -> None:
        """Take note of a round that did not fail."""
        if self._count:
            secs = asyncio.get_running_loop().time() - self._since
            self._on_recovery(self._job, failures=self._count, secs=secs)
            self._count = 0
            self._kinds.clear()


async def _repeat(
    job: Callable[[], Awaitable[None]],
    failures: _Failures,
    *,
    every_secs: float,
    on_failure: Callable[[Exception], None],
) -> None:
    while True:
        try:
            await job()
        except Exception as exc:  # noqa: BLE001 - not even a mistake of ours may end it: what it tidies would only grow
            if failures.add(exc):
                on_failure(exc)
        else:
            failures.end()
        await asyncio.sleep(every_secs)
