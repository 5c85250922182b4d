"""Settings in, places for streams of history out: so many at once in a worker. Never waits: full is an answer."""

from collections.abc import Iterator
from contextlib import contextmanager

from gateway.core.errors import Overloaded
from gateway.core.settings import HistorySettings
from gateway.telemetry import events


class Exports:
    """The streams of one worker, so many at once."""

    def __init__(self, settings: HistorySettings) -> None:
        self._most = settings.max_exports
        self.running = 0
        """Streams that are being sent."""
        self.secs = settings.export_timeout_secs
        """Longest time of one."""

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Take a place for a stream. Raises Overloaded."""
        if self.running >= self._most:
            events.overloaded("history.max_exports")
            raise Overloaded(
                f"{self.running} streams of history are being sent (history.max_exports); wait for one to end, or ask"
                " for pages with limit=",
                limit="history.max_exports",
                value=self._most,
                retry_after=5.0,
            )
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1
