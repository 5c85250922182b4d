"""In: batches. Out: the same, oldest first, from memory. Never durable."""

from collections.abc import Collection, Sequence
from itertools import count

from gateway.core.clock import Clock
from gateway.core.errors import GatewayError, SpoolFull
from gateway.domain.contracts.ingest import Spooled
from gateway.domain.model import Batch
from tests.fakes.clock import ManualClock


class MemorySpool:
    """`contracts.Spool` without a disk. While `failure` is set every call raises it."""

    def __init__(self, *, max_bytes: int = 2**30, clock: Clock | None = None) -> None:
        self._max_bytes = max_bytes
        self._clock = clock or ManualClock()
        self._ids = count(1)
        self._appended: dict[int, tuple[int, Batch]] = {}
        self.aside: list[tuple[Batch, str]] = []
        self.failure: GatewayError | None = None

    @property
    def rows(self) -> int:
        """Messages that wait."""
        return sum(len(batch) for _, batch in self._appended.values())

    @property
    def readings(self) -> int:
        """Readings that wait."""
        return sum(batch.readings for _, batch in self._appended.values())

    @property
    def size(self) -> int:
        """Bytes in memory, roughly."""
        return sum(batch.size for _, batch in self._appended.values())

    @property
    def oldest_us(self) -> int | None:
        """When the oldest batch was appended (µs since 1970 UTC); None if nothing waits."""
        return next((appended_us for appended_us, _ in self._appended.values()), None)

    async def append(self, batches: Sequence[Batch]) -> None:
        """Keep all of them. Raises SpoolFull (nothing of them is kept)."""
        self._check()
        if self.size + sum(batch.size for batch in batches) > self._max_bytes:
            raise SpoolFull(limit="spool.max_bytes")
        now_us = self._clock.now_us()
        self._appended.update((next(self._ids), (now_us, batch)) for batch in batches)

    async def oldest(self, max_rows: int, *, skip: Collection[int] = ()) -> list[Spooled]:
        """Return the oldest batches, at least one if there is any, else as many as hold `max_rows` messages."""
        self._check()
        found: list[Spooled] = []
        for number, (_, batch) in self._appended.items():
            if number in skip:
                continue
            max_rows -= len(batch)
            if found and max_rows < 0:
                break
            found.append(Spooled(number, batch))
        return found

    async def remove(self, ids: Sequence[int]) -> None:
        """Forget batches that are stored now."""
        self._check()
        for number in ids:
            self._appended.pop(number, None)

    async def set_aside(self, number: int, why: str) -> None:
        """Keep a batch in `aside`, with the reason, and not among those that wait."""
        self._check()
        self.aside.append((self._appended.pop(number)[1], why))

    def _check(self) -> None:
        if self.failure is not None:
            raise self.failure
