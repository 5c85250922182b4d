"""What waits for a commit: bounded, first in first out, passive. Decides; never awaits.

There is no linger timer: whoever can write takes everything that waits, so load makes batches grow by itself.
"""

import asyncio
from collections import deque
from typing import NamedTuple

from gateway import settings
from gateway.model import Batch, Outcome

COMMIT_BYTES = 32 * 2**20
"""Bytes one commit takes at most (a larger batch goes alone): encoding them doubles them."""


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
        """Remove and return what one commit takes: at least one batch, bounded in rows and bytes.

        An atomic batch goes alone.
        """
        group: list[Waiting] = []
        rows = size = 0
        while self._waiting:
            head = self._waiting[0]
            if group and (head.atomic or group[0].atomic or self._fills(rows + len(head.batch), size + head.size)):
                break
            self._waiting.popleft()
            self.rows -= len(head.batch)
            self.size -= head.size
            if head.ticket.done():  # its sender is gone: nobody was promised anything
                continue
            group.append(head)
            rows += len(head.batch)
            size += head.size
        return group

    def _fills(self, rows: int, size: int) -> bool:
        return rows > self._limits.commit_rows or size > COMMIT_BYTES
