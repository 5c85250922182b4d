"""The spool folder: this worker's file, and those that dead workers leave. Never a file that has an owner.

Whoever looks first takes a file over, at its start or later, and deletes it when it is empty: a worker that was killed
may come back late, under another name, or never.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from gateway.core import settings
from gateway.core.clock import Clock
from gateway.domain.layouts import Layouts
from gateway.ingest.spool.claims import SpoolClaim, claim_left, claim_own
from gateway.ingest.spool.spool import SqliteSpool


class Spools:
    """The spool files of one worker."""

    def __init__(self, limits: settings.SpoolSettings, worker: str, *, layouts: Layouts, clock: Clock) -> None:
        """Claim the file of this worker. Raises StartError if the folder cannot be used."""
        self._folder = Path(limits.dir)
        self._max_bytes = limits.max_bytes
        self._layouts = layouts
        self._clock = clock
        self._claimed: list[SpoolClaim] = []
        """What was taken over and is not opened yet."""
        self.own = self._make(claim_own(self._folder, worker), adopted=False)
        """Where it appends."""
        self.left: list[SqliteSpool] = []
        """What workers that are gone left behind, oldest first: to be drained, never appended to."""

    @property
    def all(self) -> list[SqliteSpool]:
        """All of them, oldest first: what others left is older."""
        return [*self.left, self.own]

    async def refresh(self) -> list[SqliteSpool]:
        """Give up the files that were emptied, take over those that were left since, and return all, oldest first.

        Nobody may use an emptied one meanwhile. Raises StartError, SpoolFault: what is known stays.
        """
        for spool in [each for each in self.left if each.is_empty]:
            self.left.remove(spool)
            await spool.close()
        await self.own.in_thread(self._claim_left)
        while self._claimed:
            spool = self._make(self._claimed.pop(0), adopted=True)
            self.left.append(spool)
            await spool.open()
        self.left.sort(key=_age)
        return self.all

    async def close(self) -> None:
        """Close all files and give up the right to them; those that others left and that are empty are deleted."""
        async with AsyncExitStack() as stack:
            for claim in self._claimed:
                stack.callback(claim.release)
            for spool in self.all:
                stack.push_async_callback(spool.close)

    def _claim_left(self) -> None:
        """In a thread, whose caller may be gone when it ends: what it has claimed must not be lost."""
        self._claimed += claim_left(self._folder)

    def _make(self, claim: SpoolClaim, *, adopted: bool) -> SqliteSpool:
        return SqliteSpool(claim, self._layouts, clock=self._clock, max_bytes=self._max_bytes, adopted=adopted)


@asynccontextmanager
async def open_spools(
    limits: settings.SpoolSettings, worker: str, *, layouts: Layouts, clock: Clock
) -> AsyncIterator[Spools]:
    """Open the spool of this worker and take over what others left. Raises StartError, SpoolFault."""
    spools = Spools(limits, worker, layouts=layouts, clock=clock)
    try:
        await spools.own.open()
        await spools.refresh()
        yield spools
    finally:
        await spools.close()


def _age(spool: SqliteSpool) -> int:
    return spool.oldest_us or 0
