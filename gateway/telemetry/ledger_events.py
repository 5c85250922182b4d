"""Events of the ledger: readings taken in and what became of them, counted by source; and the sums, over all workers.

Each reading is counted where it comes in and where it leaves, independently, so that a path which forgets one shows.
"""

import asyncio
from types import TracebackType
from typing import Self

import msgspec

from gateway.domain.ledger import Account, Fate, FromSpool, Ledger, to_account, to_ledger
from gateway.telemetry import events, exposition, prometheus

RECEIVED = prometheus.readings_received.sample
SOURCES = ("http", "mqtt")
"""Their accounts are shown before anything has come in, too."""
LEFT = prometheus.readings_from_spool.sample


class _Turn:
    """What is counted in a turn of the event loop, written to the metrics at its end: a write takes a microsecond."""

    def __init__(self) -> None:
        self._sums: dict[str, list[int]] = {}
        """Source → readings received, change of those queued, and for each fate those that met it."""
        self._loop: asyncio.AbstractEventLoop | None = None
        """Where the end of the turn is awaited."""

    def of(self, source: str) -> list[int]:
        """Return the sums of a source, to add to at once."""
        if self._loop is None or self._loop.is_closed():
            self._loop = asyncio.get_running_loop()
            self._loop.call_soon(self.end)
        sums = self._sums.get(source)
        if sums is None:
            sums = self._sums[source] = [0] * (2 + len(prometheus.FATES))
        return sums

    def end(self) -> None:
        """Write the sums."""
        self._loop = None
        sums, self._sums = self._sums, {}
        for source, (received, queued, *fates) in sums.items():
            label = (source,)
            prometheus.readings_received[label].inc(received)
            prometheus.readings_queued[label].inc(queued)
            for counters, readings in zip(prometheus.FATES, fates, strict=True):
                if readings:
                    counters[label].inc(readings)


_turn = _Turn()


class InHand:
    """The readings of one body from now, when it is decoded, to being answered at the end of a `with` block.

    Without `settle` they leave as failed.
    """

    __slots__ = ("_fate", "_readings", "_source")

    def __init__(self, source: str, readings: int) -> None:
        self._source = source
        self._readings = readings
        self._fate: Fate | None = None
        sums = _turn.of(source)
        sums[0] += readings
        sums[1] += readings

    def __enter__(self) -> Self:
        return self

    def settle(self, fate: Fate) -> None:
        """Say what became of them; counted at the end of the block."""
        self._fate = fate

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        sums = _turn.of(self._source)
        sums[1] -= self._readings
        for i, readings in enumerate(self._fate or Fate(failed=self._readings), 2):
            sums[i] += readings


def drained(readings: int, *, duplicates: int = 0, conflicts: int = 0, rejected: int = 0) -> None:
    """Count readings that left the spool: all of them, and how many of them are not newly stored."""
    stored = readings - duplicates - conflicts - rejected
    for label, count in zip(FromSpool.__struct_fields__, (stored, duplicates, conflicts, rejected), strict=True):
        if count:
            prometheus.readings_from_spool[(label,)].inc(count)


def read() -> Ledger:
    """Return the books of all workers, exact whenever nothing is under way. Reads their files: milliseconds."""
    _turn.end()
    samples = exposition.samples()
    accounts = {
        source: _account(samples, source)
        for (name, source), readings in samples.items()
        if name == RECEIVED and (readings or source in SOURCES)
    }
    return to_ledger(accounts, FromSpool(*[samples.get((LEFT, outcome), 0) for outcome in FromSpool.__struct_fields__]))


def closed(worker: str) -> None:
    """Say the books as they are when a worker has closed its parts: the last worker's line is the whole run."""
    books = msgspec.to_builtins(read())
    events.say("info", "ledger", "Readings since the gateway started.", apart=worker, worker=worker, **books)


def stalled(secs: float) -> None:
    """Say that readings come in and none becomes durable: an operator must look."""
    sentence = "Readings come in and nothing is stored; not ready."
    events.say("error", "stalled", sentence, secs=round(secs, 1))


def unstalled() -> None:
    """Say that readings are stored again, or that none came for a while."""
    events.say("info", "unstalled", "Not stalled any more.")


def _account(samples: dict[tuple[str, str], int], source: str) -> Account:
    fate = Fate(*[samples.get((counters.sample, source), 0) for counters in prometheus.FATES])
    queued = samples.get((prometheus.readings_queued.sample, source), 0)
    return to_account(samples[RECEIVED, source], fate, queued=queued)
