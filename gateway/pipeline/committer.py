"""Group commit: tickets out, groups of batches into the sink by a few slots, tickets resolved once after COMMIT.

submit → [batcher] → slot: sink.write (COMMIT) → live state (bounded wait) → tickets. A slot that waits for the state
has already given its turn at the database to the next group.
"""

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Sequence
from typing import Self

from gateway import settings
from gateway.contracts import Sink, Written
from gateway.errors import Draining, GatewayError, Overloaded, SinkFault, Unavailable
from gateway.model import Batch, Block, Outcome
from gateway.pipeline.batcher import Batcher, Waiting
from gateway.telemetry import events

RETRY_AFTER = 1.0
"""Seconds a sender is asked to wait when the queue is full."""

Publish = Callable[[Sequence[Block]], Awaitable[None]]


class Committer:
    """Owns the queue and the writer slots. `async with` starts and drains it."""

    def __init__(self, sink: Sink, publish: Publish, *, limits: settings.Queue, slots: int) -> None:
        self._sink = sink
        self._publish = publish
        self._slots = slots
        self._limits = limits
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._finishing: set[asyncio.Task[None]] = set()
        self._stopping = False
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
            while group := self.batcher.take():
                self._fail(group, Draining())

    def submit(self, batch: Batch, *, atomic: bool = False) -> "asyncio.Future[Outcome]":
        """Return the ticket of a batch, which resolves once it is durable. Raises Overloaded, Draining at once.

        The ticket raises SinkUnavailable or SinkFault; nothing of the batch may be taken for stored then. Cancelling
        it takes the batch out if it still waits.
        """
        if self._stopping:
            raise Draining
        size = batch.size
        limit = self.batcher.refuses(len(batch), size)
        if limit is not None:
            events.overloaded(limit=limit)
            raise Overloaded(
                f"the write queue is full ({limit}); send less, or raise the limit",
                retry_after=RETRY_AFTER,
                limit=limit,
            )
        loop = asyncio.get_running_loop()
        ticket: asyncio.Future[Outcome] = loop.create_future()
        self.batcher.add(Waiting(batch, ticket, size, atomic, loop.time()))
        self._wake.set()
        return ticket

    async def _slot(self) -> None:
        while True:
            group = self.batcher.take()
            if group:
                await self._commit(group)
            elif self._stopping:
                return
            elif not self.batcher:
                self._wake.clear()
                await self._wake.wait()

    async def _commit(self, group: list[Waiting]) -> None:
        rows = sum([len(waiting.batch) for waiting in group])
        self._hold(rows)
        started = asyncio.get_running_loop().time()
        try:
            written = await self._sink.write([w.batch for w in group], atomic=group[0].atomic)
        except BaseException as exc:
            self._hold(-rows)
            self._fail(group, _told(exc))
            if not isinstance(exc, Exception):  # cancelled: the slot ends here
                raise
        else:
            self._count(rows, written.outcomes, started)
            task = asyncio.create_task(self._conclude(group, rows, written), name="committer.conclude")
            self._finishing.add(task)
            task.add_done_callback(self._finishing.discard)

    async def _conclude(self, group: list[Waiting], rows: int, written: Written) -> None:
        """Show the newest state, then tell the senders. The state never makes an answer fail."""
        try:
            await self._publish(written.newest)
        except Exception as exc:  # noqa: BLE001 - what is committed is acknowledged, whatever the state does
            events.state_lost("".join(traceback.format_exception(exc)))
        finally:
            self._hold(-rows)
            now = asyncio.get_running_loop().time()
            for waiting, outcome in zip(group, written.outcomes, strict=True):
                events.acknowledged(now - waiting.since)
                if not waiting.ticket.done():
                    waiting.ticket.set_result(outcome)

    def _hold(self, rows: int) -> None:
        self.in_hand += rows
        events.queue_changed(self.batcher.rows + self.in_hand, self.batcher.size)

    def _fail(self, group: list[Waiting], exc: GatewayError) -> None:
        """Give each sender its own copy: a traceback grows with every raise of one exception object."""
        for waiting in group:
            if not waiting.ticket.done():
                copy = type(exc)(exc.message, **exc.details)
                copy.retry_after = exc.retry_after
                waiting.ticket.set_exception(copy)

    def _count(self, rows: int, outcomes: Sequence[Outcome], started: float) -> None:
        if all(outcome.durability == "db" for outcome in outcomes):
            events.committed(rows, secs=asyncio.get_running_loop().time() - started)


def _told(exc: BaseException) -> GatewayError:
    """Return what the senders are told of a failed write, after noting what really happened."""
    if isinstance(exc, GatewayError):
        events.commit_failed("transient" if isinstance(exc, Unavailable) else "fault", repr(exc.__cause__ or exc))
        return exc
    if isinstance(exc, Exception):
        events.commit_failed("fault", "".join(traceback.format_exception(exc)))
        return SinkFault("the gateway failed to write; see its log")
    return Draining()
