"""The committer as a state machine: senders come, give up; the database blocks, fails, breaks; the state breaks too.

No real time passes: the loop is turned by hand.
"""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.core import settings
from gateway.core.errors import Draining, Overloaded, SinkFault, SinkUnavailable
from gateway.domain.contracts.ingest import Written
from gateway.domain.layouts import Layouts
from gateway.domain.model import Batch, Block, Outcome
from gateway.ingest.pipeline.committer import Committer
from tests.builders.batches import NOON, Message, batch
from tests.fakes import MemorySink

LIMITS = settings.QueueSettings(max_rows=10, max_bytes=8000, commit_rows=4)
SLOTS = 2
TURNS = 60
"""More turns of the loop than anything that can go on needs."""


class WatchedSink(MemorySink):
    """Notes what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.groups: list[list[Batch]] = []
        self.under_way: list[list[Batch]] = []

    async def write(self, group: Sequence[Batch], *, atomic: bool = False) -> Written:
        mine = list(group)
        self.groups.append(mine)
        self.under_way.append(mine)
        try:
            return await super().write(group, atomic=atomic)
        finally:
            self.under_way = [other for other in self.under_way if other is not mine]


class Sent(NamedTuple):
    batch: Batch
    ticket: "asyncio.Future[Outcome]"
    atomic: bool
    backfill: bool


class Committing(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.complaints: list[str] = []
        self.loop.set_exception_handler(lambda _, context: self.complaints.append(str(context)))
        self.layouts = Layouts()
        self.sent: list[Sent] = []
        self.state_fails = False

    @initialize()
    def open(self) -> None:
        self.loop.run_until_complete(self._open())

    async def _open(self) -> None:
        self.sink = WatchedSink()
        self.committer = Committer(self.sink, self._publish, limits=LIMITS, slots=SLOTS)
        await self.committer.__aenter__()

    async def _publish(self, blocks: Sequence[Block]) -> None:
        assert blocks
        if self.state_fails:
            raise RuntimeError("the state is broken")

    @rule(turns=st.integers(0, 5))
    def turn(self, turns: int) -> None:
        async def spin() -> None:
            for _ in range(turns):
                await asyncio.sleep(0)

        self.loop.run_until_complete(spin())

    @rule(rows=st.integers(1, 6), wide=st.booleans(), atomic=st.booleans(), backfill=st.booleans())
    def submit(self, rows: int, wide: bool, atomic: bool, backfill: bool) -> None:
        value = "x" * 900 if wide else "x"
        messages: list[Message] = [(f"d{len(self.sent)}", i, {"t": value}) for i in range(rows)]
        made = batch(self.layouts, *messages)
        self.loop.run_until_complete(self._submit(made, atomic=atomic, backfill=backfill))

    async def _submit(self, made: Batch, *, atomic: bool, backfill: bool) -> None:
        queue = self.committer.batcher
        part = 4 if backfill else 1
        fits = queue.rows + len(made) <= LIMITS.max_rows // part and queue.size + made.size <= LIMITS.max_bytes // part
        if fits or not len(queue):
            ticket = self.committer.submit(made, atomic=atomic, backfill=backfill)
            self.sent.append(Sent(made, ticket, atomic, backfill))
            return
        with pytest.raises(Overloaded) as caught:
            self.committer.submit(made, atomic=atomic, backfill=backfill)
        assert caught.value.retry_after
        assert caught.value.details["limit"] in {"queue.max_rows", "queue.max_bytes"}

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.sent)).ticket.cancel()

    @rule()
    def block(self) -> None:
        self.sink.hold()

    @rule()
    def unblock(self) -> None:
        self.sink.release()

    @rule(failure=st.sampled_from([None, SinkUnavailable("away", retry_after=7.0), SinkFault(), RuntimeError("bug")]))
    def fail(self, failure: Exception | None) -> None:
        self.sink.failure = failure

    @rule(fails=st.booleans())
    def break_state(self, fails: bool) -> None:
        self.state_fails = fails

    @invariant()
    def bounds_hold(self) -> None:
        queue = self.committer.batcher
        waiting = [*queue._live, *queue._backfill]
        assert queue.rows == sum(len(each.batch) for each in waiting)
        assert queue.size == sum(each.size for each in waiting)
        assert len(waiting) <= 1 or (queue.rows <= LIMITS.max_rows and queue.size <= LIMITS.max_bytes)
        assert len(self.sink.under_way) <= SLOTS
        assert self.committer.in_hand >= 0

    @invariant()
    def groups_are_well_formed(self) -> None:
        atomic = {id(each.batch) for each in self.sent if each.atomic}
        for group in self.sink.groups:
            assert len(group) == 1 or sum(map(len, group)) <= LIMITS.commit_rows
            assert len(group) == 1 or not any(id(one) in atomic for one in group)

    @invariant()
    def backfill_goes_apart_and_on_one_slot(self) -> None:
        backfill = {id(each.batch) for each in self.sent if each.backfill}
        for group in self.sink.groups:
            assert len({id(one) in backfill for one in group}) == 1
            assert id(group[0]) not in backfill or len(group) == 1 or sum(map(len, group)) <= LIMITS.commit_rows // 4
        assert sum(id(group[0]) in backfill for group in self.sink.under_way) <= 1

    @invariant()
    def answers_are_true(self) -> None:
        for each in self.sent:
            if not each.ticket.done() or each.ticket.cancelled():
                continue
            if each.ticket.exception() is None:
                assert each.ticket.result().stored == len(each.batch)
                assert self._stored(each.batch) == len(each.batch)

    def _stored(self, made: Batch) -> int:
        keys = {(key.device, key.time_us) for key in self.sink.messages}
        return sum((made.devices[0], NOON + i) in keys for i in range(len(made)))

    def teardown(self) -> None:
        self.sink.release()
        self.loop.run_until_complete(self._finish())
        self.loop.close()
        self._check_order()
        self._check_copies()
        assert self.complaints == []
        assert (self.committer.in_hand, self.committer.batcher.rows, self.committer.batcher.size) == (0, 0, 0)

    async def _finish(self) -> None:
        exiting = asyncio.ensure_future(self.committer.__aexit__())
        for _ in range(TURNS + 10 * len(self.sent)):
            await asyncio.sleep(0)
        assert exiting.done(), "it does not drain"
        await exiting
        assert all(each.ticket.done() for each in self.sent)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        with pytest.raises(Draining):
            self.committer.submit(batch(self.layouts, ("d", 0, {"a": 1.5})))

    def _check_order(self) -> None:
        written = [id(one) for group in self.sink.groups for one in group]
        assert len(written) == len(set(written))
        place = {made: i for i, made in enumerate(written)}
        for backfill in (False, True):
            lane = [each for each in self.sent if each.backfill is backfill]
            places = [place[id(each.batch)] for each in lane if id(each.batch) in place]
            assert places == sorted(places), "not first in, first out"
        assert all(each.ticket.cancelled() for each in self.sent if id(each.batch) not in place)

    def _check_copies(self) -> None:
        """No two senders get the same exception object; each says what happened and when to come back."""
        kept = [each.ticket.exception() for each in self.sent if not each.ticket.cancelled()]
        errors = [exc for exc in kept if exc is not None]
        assert len({id(exc) for exc in errors}) == len(errors)
        assert all(isinstance(exc, SinkUnavailable | SinkFault) for exc in errors)
        assert all(exc.retry_after == 7.0 for exc in errors if isinstance(exc, SinkUnavailable))


Committing.TestCase.settings = hypothesis.settings(max_examples=60, stateful_step_count=40, deadline=None)
TestCommitting = Committing.TestCase
