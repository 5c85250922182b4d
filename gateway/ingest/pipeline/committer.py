"""Group commit: batches → tickets, groups of them into the sink by a few slots, tickets resolved once after COMMIT.

submit → [batcher] → slot: sink.write (COMMIT, fsync) → live state (bounded wait) → tickets. A slot that waits for the
state has already given its turn at the database to the next group. At most one slot is busy with backfill.

A slot leaves small change to gather: while another one commits, it waits until as much waits as is being committed,
so groups are as large as the load makes them and not as many as there are slots. A slow commit holds nobody back.
"""

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from typing import NoReturn, Self

from gateway.core import settings
from gateway.core.errors import Draining, GatewayError, Overloaded, SinkFault
from gateway.domain.contracts.ingest import Sink, Written
from gateway.domain.model import Batch, Block, Outcome
from gateway.ingest.pipeline.batcher import Batcher, QueuedBatch
from gateway.telemetry import events, state_events

RETRY_AFTER = 1.0
"""Seconds a sender is asked to wait when the queue is full."""

SLOW_COMMIT_SECS = 0.05
"""After so long another slot takes whatever waits."""

Publish = Callable[[Sequence[Block]], Awaitable[None]]
ShowSpooled = Callable[[Sequence[Batch]], Awaitable[None]]


async def _show_nothing(_: Sequence[Batch]) -> None:
    return


class Committer:
    """Owns the queue and the writer slots. `async with` starts and drains it."""

    def __init__(
        self,
        sink: Sink,
        publish: Publish,
        *,
        limits: settings.QueueSettings,
        slots: int,
        show_spooled: ShowSpooled = _show_nothing,
    ) -> None:
        """Both wait until the state shows what was stored, or spooled, for a bounded time."""
        self._sink = sink
        self._publish = publish
        self._show_spooled = show_spooled
        self._slots = slots
        self._limits = limits
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._finishing: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._loop: asyncio.AbstractEventLoop | None = None
        """Asked for once: before Python 3.12 each time is a system call."""
        self._full = ""
        """The limit that turned a batch away, until something leaves the queue."""
        self._backfilling = False
        """Whether a slot is writing backfill."""
        self._ahead: dict[object, int] = {}
        """Messages of each live commit that is neither done nor slow."""
        self.batcher = Batcher(limits)
        self.in_hand = 0
        """Messages taken from the queue and not yet answered."""

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._slot(), name=f"committer.slot[{i}]") for i in range(self._slots)]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Write what waits, answer everyone, stop. Cancelled, it answers Draining to whoever is left."""
        self._stopping = True
        self._wake.set()
        try:
            await asyncio.gather(*self._tasks)
            await asyncio.gather(*self._finishing)
        finally:
            while self.batcher:
                self._fail(self.batcher.take(asyncio.get_running_loop().time()), Draining())

    def refuse_if_full(self) -> None:
        """Raise Overloaded or Draining if a batch would be turned away now: its body need not even be read.

        While more comes than can be written, what is turned away must cost little, or little else gets done.
        """
        if self._stopping:
            raise Draining
        if self._full:
            self._turn_away(self._full)

    @property
    def is_open(self) -> bool:
        """Whether `refuse_if_full` would let a body be read."""
        return not self._stopping and not self._full

    def has_room(self, batch: Batch) -> bool:
        """Whether `submit` would take a live batch now."""
        return self.is_open and self.batcher.refuses(len(batch), batch.size) is None

    def submit(self, batch: Batch, *, atomic: bool = False, backfill: bool = False) -> "asyncio.Future[Outcome]":
        """Return the ticket of a batch, which resolves once it is durable. Raises Overloaded, Draining at once.

        The ticket raises SinkUnavailable or SinkFault; nothing of the batch may be taken for stored then. Cancelling
        it takes the batch out if it still waits. With `backfill` it yields to all that comes without.
        """
        if self._stopping:
            raise Draining
        size = batch.size
        limit = self.batcher.refuses(len(batch), size, backfill=backfill)
        if limit is not None:
            self._full = self._full if backfill else limit  # live traffic may still have room
            self._turn_away(limit, backfill=backfill)
        loop = self._loop = self._loop or asyncio.get_running_loop()
        ticket: asyncio.Future[Outcome] = loop.create_future()
        self.batcher.add(QueuedBatch(batch, ticket, size, atomic, loop.time(), backfill))
        if self._is_worth_a_commit():
            self._wake.set()
        return ticket

    def _turn_away(self, limit: str, *, backfill: bool = False) -> NoReturn:
        events.overloaded(limit=limit)
        message = f"the write queue is full ({limit}); send less, or raise the limit"
        if backfill:
            message = f"the write queue is filling ({limit}) and leaves its room to live traffic; send backfill later"
        raise Overloaded(message, retry_after=RETRY_AFTER, limit=limit)

    async def _slot(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            if not self._is_worth_a_commit():
                await self._woken()
                continue
            group = self.batcher.take(loop.time(), backfill=not self._backfilling)
            if group:
                self._full = ""
                await (self._commit_backfill(group) if group[0].backfill else self._commit_live(group))
            elif self.batcher.holds(backfill=not self._backfilling):
                continue  # the senders of what was next are gone
            elif self._stopping:
                return  # if backfill is left, the slot that is busy with it goes on
            else:
                await self._woken()

    async def _woken(self) -> None:
        self._wake.clear()
        await self._wake.wait()

    def _is_worth_a_commit(self) -> bool:
        return self._stopping or self.batcher.rows >= sum(self._ahead.values())

    @contextmanager
    def _gathering(self, rows: int) -> Iterator[None]:
        """Let other slots wait, until the end of the block or until this commit is slow."""
        mark = object()
        self._ahead[mark] = rows
        slow = asyncio.get_running_loop().call_later(SLOW_COMMIT_SECS, self._overtake, mark)
        try:
            yield
        finally:
            slow.cancel()
            self._overtake(mark)

    def _overtake(self, mark: object) -> None:
        self._ahead.pop(mark, None)
        self._wake.set()

    async def _commit_live(self, group: list[QueuedBatch]) -> None:
        with self._gathering(sum([len(waiting.batch) for waiting in group])):
            await self._commit(group)

    async def _commit_backfill(self, group: list[QueuedBatch]) -> None:
        self._backfilling = True
        try:
            await self._commit(group)
        finally:
            self._backfilling = False  # no need to wake another slot: this one takes what is left

    async def _commit(self, group: list[QueuedBatch]) -> None:
        rows = sum([len(waiting.batch) for waiting in group])
        self._add_in_hand(rows)
        started = asyncio.get_running_loop().time()
        try:
            written = await self._sink.write([w.batch for w in group], atomic=group[0].atomic)
        except BaseException as exc:
            self._add_in_hand(-rows)
            if len(group) > 1 and isinstance(exc, Exception) and not isinstance(exc, GatewayError):
                await self._commit_apart(group)
                return
            self._fail(group, _told(exc))
            if not isinstance(exc, Exception):  # cancelled: the slot ends here
                raise
        else:
            self._count(rows, written.outcomes, started)
            task = asyncio.create_task(self._conclude(group, rows, written), name="committer.conclude")
            self._finishing.add(task)
            task.add_done_callback(self._finishing.discard)

    async def _commit_apart(self, group: list[QueuedBatch]) -> None:
        """Write each batch by itself after a mistake of ours: it is one batch's, and the others are not to suffer."""
        for waiting in group:
            await self._commit([waiting])

    async def _conclude(self, group: list[QueuedBatch], rows: int, written: Written) -> None:
        """Show the newest state, then tell the senders. The state never makes an answer fail."""
        try:
            if written.outcomes[0].durability == "spool":
                await self._show_spooled([waiting.batch for waiting in group])
            else:
                await self._publish(written.newest)
        except Exception as exc:  # noqa: BLE001 - what is committed is acknowledged, whatever the state does
            state_events.lost("".join(traceback.format_exception(exc)))
        finally:
            self._add_in_hand(-rows)
            now = asyncio.get_running_loop().time()
            for waiting, outcome in zip(group, written.outcomes, strict=True):
                events.acknowledged(now - waiting.since)
                if not waiting.ticket.done():
                    waiting.ticket.set_result(outcome)

    def _add_in_hand(self, rows: int) -> None:
        self.in_hand += rows
        events.queue_changed(self.batcher.rows + self.in_hand, self.batcher.size)

    def _fail(self, group: list[QueuedBatch], exc: GatewayError) -> None:
        """Give each sender its own copy: a traceback grows with every raise of one exception object."""
        for waiting in group:
            if not waiting.ticket.done():
                waiting.ticket.set_exception(copy(exc))

    def _count(self, rows: int, outcomes: Sequence[Outcome], started: float) -> None:
        if all(outcome.durability == "db" for outcome in outcomes):
            events.committed(rows, secs=asyncio.get_running_loop().time() - started)


def _told(exc: BaseException) -> GatewayError:
    """Return what the senders are told of a failed write; what a sink does not say by itself is noted."""
    if isinstance(exc, GatewayError):
        return exc
    if isinstance(exc, Exception):
        events.commit_failed("".join(traceback.format_exception(exc)))
        return SinkFault("the gateway failed to write; see its log")
    return Draining()
