"""What waits for a commit: bounded, first in first out, passive. Decides; never awaits.

There is no linger timer: whoever can write takes everything that waits, so load makes batches grow by itself.
"""

import asyncio
from collections import deque
from typing import NamedTuple

from gateway import settings
from gateway.model import Batch, Outcome


class Waiting(NamedTuple):
    """A batch and the ticket its sender holds."""

    batch: Batch
    ticket: "asyncio.Future[Outcome]"
    size: int
    atomic: bool
    since: float
    """Loop time of submission."""


class Batcher:
    """The queue. `rows` are messages, `size` is bytes."""

    def __init__(self, limits: settings.Queue) -> None:
        self._limits = limits
        self._waiting: deque[Waiting] = deque()
        self.rows = 0
        self.size = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def refuses(self, rows: int, size: int) -> str | None:
        """Name the limit that a further batch would pass, if it would. An empty queue takes any batch."""
        if not self._waiting:
            return None
        if self.rows + rows > self._limits.max_rows:
            return "queue.max_rows"
        return "queue.max_bytes" if self.size + size > self._limits.max_bytes else None

    def add(self, waiting: Waiting) -> None:
        """Append."""
        self._waiting.append(waiting)
        self.rows += len(waiting.batch)
        self.size += waiting.size

    def take(self) -> list[Waiting]:
        """Remove and return what one commit takes: at least one batch, at most commit_rows; an atomic one goes alone."""
        group: list[Waiting] = []
        rows = 0
        while self._waiting:
            head = self._waiting[0]
            if group and (head.atomic or group[0].atomic or rows + len(head.batch) > self._limits.commit_rows):
                break
            self._waiting.popleft()
            self.rows -= len(head.batch)
            self.size -= head.size
            if head.ticket.done():  # its sender is gone: nobody was promised anything
                continue
            group.append(head)
            rows += len(head.batch)
        return group

    def oldest(self) -> float | None:
        """Return the loop time at which the head was submitted."""
        return self._waiting[0].since if self._waiting else None
