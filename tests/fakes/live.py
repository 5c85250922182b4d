"""`changes.ChangeLog` in memory, with ways to lose what a real one may lose. Never used by a running gateway."""

import asyncio
from collections.abc import Sequence

from gateway.core.errors import StateUnavailable
from gateway.domain.changes import Logged, LogPosition
from gateway.domain.contracts.newest import NewestMessage

WAIT_SECS = 1.0
PAGE = 2
"""Entries of a page: small, so that tests meet more than one."""


class MemoryEntry:
    """`changes.Logged`; each message counts as one byte."""

    def __init__(self, position: LogPosition, messages: Sequence[tuple[str, NewestMessage]]) -> None:
        self.position = position
        self.size = len(messages)
        self.devices = [device for device, _ in messages]
        self._messages = [message for _, message in messages]

    @property
    def shapes(self) -> set[int]:
        """The ids of the shapes of all messages."""
        return {message.shape_id for message in self._messages}

    def message(self, i: int) -> NewestMessage:
        """Return one message."""
        return self._messages[i]


class MemoryChangeLog:
    """A log that anybody may write to. While `away` is set every call raises StateUnavailable."""

    def __init__(self) -> None:
        self.entries: list[MemoryEntry] = []
        self.end = LogPosition("epoch0001", 0, 0)
        self.away = False
        self.watches = 0
        self._grown = asyncio.Event()

    def add(self, *messages: tuple[str, NewestMessage], at_ms: int | None = None) -> LogPosition:
        """Log a committed batch."""
        ms = self.end.ms + 1 if at_ms is None else at_ms
        self.end = LogPosition(self.end.epoch, self.end.offset + len(messages), ms)
        self.entries.append(MemoryEntry(self.end, messages))
        self._grown.set()
        return self.end

    def trim(self, count: int) -> None:
        """Remove the oldest entries."""
        del self.entries[:count]

    def turn(self) -> None:
        """Say that changes may be missing, though the log goes on."""
        base, _, number = self.end.epoch.partition("z")
        self.end = self.end._replace(epoch=f"{base}z{int(number or 0) + 1}")

    def lose_all(self) -> None:
        """Begin a new epoch, as a flush does."""
        self.entries.clear()
        self.end = LogPosition(f"epoch{int(self.end.epoch[5:9]) + 1:04}", 0, self.end.ms)

    async def watch(self) -> LogPosition:
        """Return the end. Raises StateUnavailable."""
        self._check()
        self.watches += 1
        return self.end

    async def after(self, position: LogPosition) -> list[Logged]:
        """Return the next entries, or none after a while. Raises StateUnavailable."""
        found = self._after(position)
        if not found:
            self._grown.clear()
            try:
                async with asyncio.timeout(WAIT_SECS):
                    await self._grown.wait()
            except TimeoutError:
                pass
        self._check()
        return self._after(position)

    async def between(self, position: LogPosition, upto: LogPosition) -> list[Logged]:
        """Return a page of entries. Raises StateUnavailable."""
        self._check()
        await asyncio.sleep(0)
        return [entry for entry in self._after(position) if entry.position.offset <= upto.offset][:PAGE]

    def _after(self, position: LogPosition) -> list[Logged]:
        return [entry for entry in self.entries if entry.position.offset > position.offset]

    def _check(self) -> None:
        if self.away:
            raise StateUnavailable
