"""Settings in, places for streams of history out: so many at once in a worker, and fewer for one credential.

Never waits: full is an answer.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.core.errors import Overloaded
from gateway.core.settings import HistorySettings
from gateway.domain.shares import Share, Shares
from gateway.telemetry import events, limit_events


class Exports:
    """The streams of one worker, so many at once."""

    def __init__(self, settings: HistorySettings) -> None:
        self._most = settings.max_exports
        share = Share(settings.max_exports_per_credential, "history.max_exports_per_credential", "streams of history")
        self._shares = Shares(share, on_refused=limit_events.share_refused)
        self.running = 0
        """Streams that are being sent."""
        self.secs = settings.export_timeout_secs
        """Longest time of one."""

    @asynccontextmanager
    async def slot(self, caller: str) -> AsyncIterator[None]:
        """Take a place for a stream of this caller. Raises TooManyAtOnce, Overloaded."""
        async with self._shares.place(caller):
            if self.running >= self._most:
                events.overloaded("history.max_exports")
                raise Overloaded(
                    f"{self.running} streams of history are being sent (history.max_exports); wait for one to end, or"
                    " ask for pages with limit=",
                    limit="history.max_exports",
                    value=self._most,
                    retry_after=5.0,
                )
            self.running += 1
            try:
                yield
            finally:
                self.running -= 1
