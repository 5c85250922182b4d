"""The drainer of spools: oldest batch first, while live traffic goes first. Forgets a batch only once it is stored.

A round: read a group ─ store ─ bury what the database did not take ─ remove. A crash anywhere repeats the round, which
the keys of the messages absorb. A failure leaves everything where it is and waits, longer each time, unless kicked.

If the database answers all the same a record is to blame: the group is divided until it stands alone, others go on, and
after its tries it is taken to pieces (`rescue`). What even the dead letters do not take is set aside in the file.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from random import Random
from typing import NamedTuple, Self

from gateway.core.backoff import full_jitter
from gateway.core.errors import GatewayError, SpoolFault
from gateway.core.tasks import end
from gateway.domain.contracts.ingest import Spool, Spooled
from gateway.domain.model import Batch, Outcome
from gateway.ingest.pipeline.poison import FEW, MAX_SUSPECTS, PoisonCheck, Suspects, words_of
from gateway.telemetry import ledger_events, spool_events

FIRST_RETRY_SECS = 0.1
LONGEST_RETRY_SECS = 30.0
IDLE_SECS = 1.0
"""How often an empty spool is looked at."""
SMALL_ROWS = 2000
"""Messages a round takes while live traffic waits."""
GIVEN_WAY = 3.0
"""Times the duration of a round that live traffic, if it waits, gets before the next round."""
LONGEST_WAY_SECS = 0.5
REFRESH_SECS = 5.0
"""How often it is asked which spools there are; later while the database is away, when it does not matter."""
TICK_SECS = 0.01
"""How often live traffic is looked at meanwhile."""

Store = Callable[[Sequence[Batch]], Awaitable[list[Outcome]]]
"""Returns after COMMIT, with an outcome for each batch. Raises Unavailable, SinkFault; returns or raises in time."""
Bury = Callable[[Batch, Outcome], Awaitable[None]]
"""Keeps the conflicts and rejected messages of a batch for people: their device was told that they are accepted."""
Refresh = Callable[[], Awaitable[Sequence["Spool"]]]
"""Returns which spools there are now, oldest first; those it leaves out are not touched again. Raises GatewayError."""


class SpoolBacklog(NamedTuple):
    """What waits on disk, for /readyz."""

    rows: int
    size: int
    """Bytes."""
    oldest_us: int | None
    """When the oldest batch was appended; microseconds since 1970 UTC."""
    error: str
    """Why the spool is not being emptied; empty if it is, or need not be."""


class Drainer:
    """Owns the task that empties the spools, one after the other. `async with` starts and stops it."""

    def __init__(
        self,
        spools: Sequence[Spool],
        store: Store,
        *,
        bury: Bury,
        busy: Callable[[], bool],
        rng: Random,
        max_rows: int,
        poison_check: PoisonCheck | None = None,
        refresh: Refresh | None = None,
    ) -> None:
        """`busy` says whether live messages wait; `max_rows` is the most a round takes.

        Without `poison_check` every failure is taken for the database's.
        """
        self._poison_check = poison_check
        self._suspects = Suspects()
        self._proofs = 0
        """Of `poison_check`, when the round began."""
        self._alone = 0
        """Records that failed alone in this round."""
        self._spools = spools
        self._store = store
        self._bury = bury
        self._busy = busy
        self._rng = rng
        self._max_rows = max_rows
        self._refresh = refresh
        self._refresh_at = 0.0
        """Loop time from which the spools are to be asked for again."""
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._stored: dict[Spool, list[int]] = {}
        """Batches that are stored and could not be removed yet."""
        self._failures = 0
        self._error = ""
        self._busy_since: float | None = None
        """Loop time of the first round since the spools were last empty."""

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._drain(), name="spool.drainer")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop at once: what a round has not removed comes again."""
        if self._task:
            await end(self._task)

    def kick(self) -> None:
        """Begin a round now: the database is back. Not meant for every append: those are seen within IDLE_SECS."""
        self._failures = 0
        self._wake.set()

    def waiting(self) -> SpoolBacklog:
        """Return what waits."""
        ages = [each.oldest_us for each in self._spools if each.oldest_us is not None]
        rows, size = sum(each.rows for each in self._spools), sum(each.size for each in self._spools)
        return SpoolBacklog(rows, size, min(ages, default=None), self._error or self._suspects.error)

    async def _drain(self) -> None:
        loop = asyncio.get_running_loop()
        self._refresh_at = loop.time() + REFRESH_SECS
        while True:
            await self._look_around(loop.time())
            started = loop.time()
            drained = await self._try()
            waiting = self.waiting()
            spool_events.backlog(waiting.rows, waiting.size)
            if drained:
                await self._give_way(loop.time() - started)
            else:
                await self._rest(self._pause())

    async def _look_around(self, now: float) -> None:
        """Ask now and then which spools there are; between two rounds, when none is in use."""
        if self._refresh is None or now < self._refresh_at:
            return
        self._refresh_at = now + REFRESH_SECS
        try:
            self._spools = await self._refresh()
            self._suspects.keep_only(self._spools)
        except GatewayError as exc:  # what is known is emptied all the same
            spool_events.drain_failed("disk", exc.message)
        except Exception as exc:  # noqa: BLE001 - the same
            spool_events.failed("drainer", exc)

    async def _try(self) -> bool:
        """Do a round with the first spool that has anything; say whether there was one."""
        kind = error = ""
        for spool in self._spools:
            try:
                if await self._round(spool):
                    self._failures, self._error = 0, error
                    return True
            except SpoolFault as exc:  # another file may be in order
                kind, error = "disk", exc.message
            except GatewayError as exc:
                kind, error = "database", exc.message
                break
            except Exception as exc:  # noqa: BLE001 - a mistake of ours must not leave readings on disk for good
                spool_events.failed("drainer", exc)
                kind, error = "mistake", repr(exc)
                break
        if self._suspects and not error:  # the others are drained, and these have their next try soon
            self._failures, self._error = 0, ""
        else:
            self._note(kind, error)
        return False

    async def _round(self, spool: Spool) -> bool:
        if ids := self._stored.get(spool):
            await self._forget(spool, ids)
        now = asyncio.get_running_loop().time()
        resting = self._suspects.resting(spool, now)
        self._proofs, self._alone = self._poison_check.proofs() if self._poison_check else 0, 0
        if len(resting) >= MAX_SUSPECTS:
            return False
        max_rows = min(SMALL_ROWS, self._max_rows) if self._busy() else self._max_rows
        group = await spool.oldest(max_rows, skip=resting)
        if not group:
            return False
        if self._busy_since is None:
            self._busy_since = now
        known = set(self._suspects.of(spool))
        if fresh := [each for each in group if each.id not in known]:
            await self._empty(spool, fresh)
        for each in group:
            if each.id in known:
                await self._empty(spool, [each])
        return True

    async def _empty(self, spool: Spool, group: list[Spooled]) -> None:
        """Move a group to where it belongs, or what of it can be moved while the database answers."""
        try:
            await self._store_group(spool, group)
        except SpoolFault:
            raise
        except Exception as exc:
            if self._poison_check is None or not await self._poison_check.answers():
                raise
            if len(group) == 1:
                await self._suspect(self._poison_check, spool, group[0], exc)
                return
            middle = len(group) // 2
            for half in (group[:middle], group[middle:]):
                await self._empty(spool, half)

    async def _store_group(self, spool: Spool, group: list[Spooled]) -> None:
        batches = [each.batch for each in group]
        stored = list(zip(batches, await self._store(batches), strict=True))
        for batch, outcome in stored:
            if outcome.conflicts or outcome.rejected:
                await self._bury(batch, outcome)
        for batch, outcome in stored:  # only now: a burial that fails repeats the round
            _count(batch, outcome)
        await self._forget(spool, [each.id for each in group])

    async def _suspect(self, poison_check: PoisonCheck, spool: Spool, one: Spooled, exc: Exception) -> None:
        """Try a record later that failed alone, or if it had all its tries take it out of the way of the others."""
        words = words_of(exc)
        spool_events.record_failed(one.id, one.batch.devices, exc, words)
        now = asyncio.get_running_loop().time()
        known = self._suspects.note(spool, one.id, exc, now=now, proofs=self._proofs)
        self._alone += 1
        if not self._suspects.is_guilty(known, exc, proofs=poison_check.proofs()):
            if self._alone > FEW and poison_check.proofs() == self._proofs:
                raise exc  # nothing passes at all: it is not the records, whatever a probe says
            return
        try:
            outcome = await poison_check.rescue(one.batch, words)
            await self._bury(one.batch, outcome)
        except Exception as again:
            if not await poison_check.answers():
                raise
            words = words_of(again)
            await spool.set_aside(one.id, words)
            self._suspects.clear(spool, [one.id])
            spool_events.record_set_aside(one.id, one.batch.devices, words)
            return
        _count(one.batch, outcome)
        await self._forget(spool, [one.id])

    async def _forget(self, spool: Spool, ids: list[int]) -> None:
        self._suspects.clear(spool, ids)
        self._stored[spool] = ids
        await spool.remove(ids)
        del self._stored[spool]

    def _note(self, kind: str, error: str) -> None:
        """Remember how a try without a round ended: with an error, or with nothing left to do."""
        self._error = error
        if error:
            self._failures += 1
            spool_events.drain_failed(kind, error)
        elif self._busy_since is not None:
            spool_events.emptied(asyncio.get_running_loop().time() - self._busy_since)
            self._busy_since = None

    def _pause(self) -> float:
        """Return the seconds to rest: after failures up to FIRST_RETRY_SECS, doubled each time (full jitter)."""
        if not self._failures:
            return IDLE_SECS
        return full_jitter(self._failures - 1, base=FIRST_RETRY_SECS, cap=LONGEST_RETRY_SECS, rng=self._rng)

    async def _give_way(self, round_secs: float) -> None:
        """Let live traffic go first while it waits, for a bounded time."""
        loop = asyncio.get_running_loop()
        until = loop.time() + min(GIVEN_WAY * round_secs, LONGEST_WAY_SECS)
        await asyncio.sleep(0)
        while self._busy() and loop.time() < until:  # noqa: ASYNC110 - a queue that empties tells nobody
            await asyncio.sleep(TICK_SECS)

    async def _rest(self, secs: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(secs):
                await self._wake.wait()
        self._wake.clear()


def _count(batch: Batch, outcome: Outcome) -> None:
    ledger_events.drained(
        batch.readings,
        duplicates=outcome.duplicates,
        conflicts=batch.readings_of(outcome.conflicts),
        rejected=batch.readings_of([i for i, _ in outcome.rejected]),
    )
