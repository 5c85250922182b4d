"""The batcher: what waits for a commit, bounded, first in first out. Decides; never awaits, never asks for the time.

There is no linger timer: whoever can write takes everything that waits, so load makes batches grow by itself. Backfill
has a lane of its own that live traffic overtakes, in small commits, and gets a turn now and then however much comes.
"""

import asyncio
from collections import deque
from typing import NamedTuple

from gateway.core import settings
from gateway.domain.model import Batch, Outcome

COMMIT_BYTES = 32 * 2**20
"""Bytes one commit takes at most (a larger batch goes alone): encoding them doubles them."""
BACKFILL_PART = 4
"""Backfill takes this part of a commit, and waits only while less than this part of the queue is taken: live traffic
finds a slot soon, and room."""
BACKFILL_PATIENCE_SECS = 2.0
"""How long backfill lets live traffic go first, until it gets one commit."""


class QueuedBatch(NamedTuple):
    """A batch and the ticket its sender holds."""

    batch: Batch
    ticket: "asyncio.Future[Outcome]"
    size: int
    atomic: bool
    since: float
    """Loop time of submission."""
    backfill: bool = False


class Batcher:
    """The queue. `rows` are messages, `size` is bytes."""

    def __init__(self, limits: settings.QueueSettings) -> None:
        self._limits = limits
        self._live: deque[QueuedBatch] = deque()
        self._backfill: deque[QueuedBatch] = deque()
        self._backfilled = float("-inf")
        """When backfill was taken last."""
        self.rows = 0
        self.size = 0

    def __len__(self) -> int:
        return len(self._live) + len(self._backfill)

    def refuses(self, rows: int, size: int, *, backfill: bool = False) -> str | None:
        """Name the limit that a further batch would pass, if it would. An empty queue takes any batch."""
        if not self._live and not self._backfill:
            return None
        part = BACKFILL_PART if backfill else 1
        if self.rows + rows > self._limits.max_rows // part:
            return "queue.max_rows"
        return "queue.max_bytes" if self.size + size > self._limits.max_bytes // part else None

    def add(self, waiting: QueuedBatch) -> None:
        """Append."""
        (self._backfill if waiting.backfill else self._live).append(waiting)
        self.rows += len(waiting.batch)
        self.size += waiting.size

    def holds(self, *, backfill: bool) -> bool:
        """Whether there is anything to take, with or without backfill."""
        return bool(self._live) or (backfill and bool(self._backfill))

    def take(self, now: float, *, backfill: bool = True) -> list[QueuedBatch]:
        """Remove and return what one commit takes, bounded in rows and bytes; with `backfill`, of either kind.

        At least one batch, unless nothing waits; an atomic one goes alone.
        """
        if backfill and self._backfill and (not self._live or self._is_due(now)):
            self._backfilled = now
            return self._group(self._backfill, part=BACKFILL_PART)
        return self._group(self._live)

    def _is_due(self, now: float) -> bool:
        return now - max(self._backfill[0].since, self._backfilled) > BACKFILL_PATIENCE_SECS

    def _group(self, lane: deque[QueuedBatch], *, part: int = 1) -> list[QueuedBatch]:
        most_rows, most_bytes = self._limits.commit_rows // part, COMMIT_BYTES // part
        group: list[QueuedBatch] = []
        rows = size = 0
        while lane:
            head = lane[0]
            rows, size = rows + len(head.batch), size + head.size
            if group and (head.atomic or group[0].atomic or rows > most_rows or size > most_bytes):
                break
            lane.popleft()
            self.rows -= len(head.batch)
            self.size -= head.size
            if head.ticket.done():  # its sender is gone: nobody was promised anything
                rows, size = rows - len(head.batch), size - head.size
                continue
            group.append(head)
        return group
