"""The fallback: a sink that is the database, or the disk while that is away, and keeps the promise either way.

A batch goes to the spool when the database cannot be reached, hangs, or refuses every write (a standing fault, such
as a full disk there). Had a part of it been committed before, the drainer's repeat is absorbed by its keys.
"""

from collections.abc import Sequence

from gateway.core.errors import SinkFault, SinkUnavailable
from gateway.domain.contracts.ingest import Sink, Spool, Written
from gateway.domain.model import Batch, Outcome
from gateway.ingest.pipeline.breaker import Breaker, kind_of
from gateway.telemetry import events


class Fallback:
    """`contracts.Sink` over a sink and a spool."""

    def __init__(self, sink: Sink, spool: Spool, breaker: Breaker) -> None:
        self._sink = sink
        self._spool = spool
        self._breaker = breaker
        self.stored = 0
        """Groups that the database has taken."""

    async def write(self, group: Sequence[Batch], *, atomic: bool = False) -> Written:
        """Return after COMMIT, or after the fsync of the spool; see contracts.Sink. Raises SpoolFull, SpoolFault too.

        An atomic batch needs the database, which alone can tell conflicts: without it, SinkUnavailable.
        """
        try:
            return await self.store(group, atomic=atomic)
        except (SinkUnavailable, SinkFault):
            if atomic:
                raise
        await self._spool.append(group)
        return Written([Outcome(batch.readings, durability="spool") for batch in group], [])

    async def store(self, group: Sequence[Batch], *, atomic: bool = False) -> Written:
        """Write to the database only. Raises SinkUnavailable at once while it is away, SinkFault."""
        if self._breaker.is_open:
            raise SinkUnavailable
        term = self._breaker.term
        try:
            written = await self._sink.write(group, atomic=atomic)
        except (SinkUnavailable, SinkFault) as exc:
            events.write_failed(kind_of(exc))
            self._breaker.failed(term, exc)
            raise
        self.stored += 1
        self._breaker.stored(term)
        return written

    async def drain(self, group: Sequence[Batch]) -> Written:
        """Write what was spooled. Raises as `store`, but a failure does not tell that the database is away: ask it."""
        if self._breaker.is_open:
            raise SinkUnavailable
        term = self._breaker.term
        try:
            written = await self._sink.write(group)
        except (SinkUnavailable, SinkFault) as exc:
            events.write_failed(kind_of(exc))
            raise
        self.stored += 1
        self._breaker.stored(term)
        return written
