"""The committer where the state machine does not look: stopping against its will, and what a slot may not wait for."""

import asyncio
from collections.abc import Sequence

import pytest

from gateway.core import settings
from gateway.core.errors import AtomicTooWide, Draining, Overloaded, SinkFault
from gateway.domain.contracts.ingest import Written
from gateway.domain.layouts import Layouts
from gateway.domain.model import Batch, Block
from gateway.ingest.pipeline.committer import Committer
from gateway.telemetry import prometheus
from tests.builders.batches import batch
from tests.fakes import MemorySink

SOON = 5.0


async def _no_state(blocks: Sequence[Block]) -> None:
    pass


async def _turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_slot_does_not_wait_for_the_state() -> None:
    layouts = Layouts()
    sink, admission = MemorySink(), asyncio.Event()

    async def publish(blocks: Sequence[Block]) -> None:
        await admission.wait()

    async with Committer(sink, publish, limits=settings.QueueSettings(), slots=1) as committer:
        tickets = []
        for i in range(3):
            tickets.append(committer.submit(batch(layouts, ("d", i, {"a": 0.5}))))
            await _turns()
        assert sink.writes == 3
        assert not any(ticket.done() for ticket in tickets)
        assert committer.in_hand == 3
        admission.set()
        outcomes = await asyncio.wait_for(asyncio.gather(*tickets), SOON)
    assert [outcome.stored for outcome in outcomes] == [1, 1, 1]
    assert committer.in_hand == 0


async def test_what_gathers_during_a_commit_is_committed_together() -> None:
    layouts = Layouts()
    sink = MemorySink()
    async with Committer(sink, _no_state, limits=settings.QueueSettings(), slots=1) as committer:
        sink.hold()
        tickets = [committer.submit(batch(layouts, ("d", 0, {"a": 0.5})))]
        await _turns()
        tickets += [committer.submit(batch(layouts, ("d", i, {"a": 0.5}))) for i in range(1, 50)]
        sink.release()
        await asyncio.wait_for(asyncio.gather(*tickets), SOON)
    assert sink.writes == 2


async def test_stopping_cancelled_answers_everyone() -> None:
    """The process is being killed: whoever waits must hear that nothing may be taken for stored."""
    layouts = Layouts()
    sink = MemorySink()
    committer = Committer(sink, _no_state, limits=settings.QueueSettings(commit_rows=1), slots=2)
    await committer.__aenter__()
    sink.hold()
    tickets = [committer.submit(batch(layouts, ("d", i, {"a": 0.5}))) for i in range(5)]
    await _turns()
    stopping = asyncio.create_task(committer.__aexit__())
    await _turns()
    assert not stopping.done()
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping
    results = await asyncio.wait_for(asyncio.gather(*tickets, return_exceptions=True), SOON)
    assert [type(result) for result in results] == [Draining] * 5
    assert (committer.in_hand, committer.batcher.rows, sink.messages) == (0, 0, {})


async def test_a_sender_that_gives_up_during_its_commit_harms_nobody() -> None:
    layouts = Layouts()
    sink = MemorySink()
    async with Committer(sink, _no_state, limits=settings.QueueSettings(), slots=1) as committer:
        sink.hold()
        given_up, patient = (committer.submit(batch(layouts, (name, 0, {"a": 0.5}))) for name in "ab")
        await _turns()
        given_up.cancel()
        sink.release()
        assert (await asyncio.wait_for(patient, SOON)).stored == 1
    assert {key.device for key in sink.messages} == {"a", "b"}


async def test_backfill_takes_one_slot_and_live_traffic_the_others() -> None:
    layouts, sink = Layouts(), MemorySink()
    sink.hold()
    async with Committer(sink, _no_state, limits=settings.QueueSettings(commit_rows=4), slots=3) as committer:
        backfill = [committer.submit(batch(layouts, ("b", i, {"a": 0.5})), backfill=True) for i in range(5)]
        await _turns()
        assert len(committer.batcher) == 4, "one commit is under way"
        live = [committer.submit(batch(layouts, ("d", i, {"a": 0.5}))) for i in range(2)]
        await _turns()
        assert len(committer.batcher) == 4, "and the live traffic, in another"
        sink.release()
        await asyncio.wait_for(asyncio.gather(*live, *backfill), SOON)


async def test_backfill_that_is_turned_away_turns_away_nobody_else() -> None:
    layouts, sink = Layouts(), MemorySink()
    sink.hold()
    async with Committer(
        sink, _no_state, limits=settings.QueueSettings(max_rows=8, commit_rows=1), slots=1
    ) as committer:
        for i in range(4):
            committer.submit(batch(layouts, ("d", i, {"a": 0.5})))
        with pytest.raises(Overloaded, match="backfill"):
            committer.submit(batch(layouts, ("b", 0, {"a": 0.5})), backfill=True)
        committer.refuse_if_full()
        last = committer.submit(batch(layouts, ("d", 9, {"a": 0.5})))
        sink.release()
        assert (await asyncio.wait_for(last, SOON)).stored == 1


@pytest.mark.parametrize("slots", [1, 3])
async def test_stopping_writes_backfill_too(slots: int) -> None:
    layouts, sink = Layouts(), MemorySink()
    async with Committer(sink, _no_state, limits=settings.QueueSettings(commit_rows=4), slots=slots) as committer:
        gone = committer.submit(batch(layouts, ("d", 0, {"a": 0.5})))
        backfill = [committer.submit(batch(layouts, ("b", i, {"a": 0.5})), backfill=True) for i in range(5)]
        gone.cancel()
    assert [(await ticket).stored for ticket in backfill] == [1] * 5
    assert len(sink.messages) == 5


async def test_after_one_was_turned_away_others_are_without_a_look_until_something_leaves() -> None:
    layouts, sink = Layouts(), MemorySink()
    sink.hold()
    async with Committer(
        sink, _no_state, limits=settings.QueueSettings(max_rows=2, commit_rows=1), slots=1
    ) as committer:
        committer.submit(batch(layouts, ("d", 0, {"a": 0.5})))
        await _turns()
        waiting = [committer.submit(batch(layouts, ("d", i, {"a": 0.5}))) for i in (1, 2)]
        committer.refuse_if_full()
        with pytest.raises(Overloaded):
            committer.submit(batch(layouts, ("d", 3, {"a": 0.5})))
        with pytest.raises(Overloaded, match=r"queue\.max_rows"):
            committer.refuse_if_full()
        sink.release()
        await asyncio.wait_for(asyncio.gather(*waiting), SOON)
        committer.refuse_if_full()
    with pytest.raises(Draining):
        committer.refuse_if_full()


class Stumbling(MemorySink):
    """Has a mistake: it cannot write a batch of the device `odd`."""

    async def write(self, group: Sequence[Batch], *, atomic: bool = False) -> Written:
        if any("odd" in one.devices for one in group):
            raise ValueError("a mistake of ours")
        return await super().write(group, atomic=atomic)


async def test_a_mistake_over_one_batch_is_not_told_to_the_senders_of_the_others() -> None:
    layouts, sink = Layouts(), Stumbling()
    async with Committer(sink, _no_state, limits=settings.QueueSettings(), slots=1) as committer:
        tickets = [committer.submit(batch(layouts, (name, 0, {"a": 0.5}))) for name in ("d1", "odd", "d2")]
        results = await asyncio.wait_for(asyncio.gather(*tickets, return_exceptions=True), SOON)
    assert [getattr(result, "stored", type(result)) for result in results] == [1, SinkFault, 1]
    assert (committer.in_hand, len(sink.messages)) == (0, 2)


async def test_what_only_the_sender_can_change_is_no_failure_to_commit() -> None:
    layouts, sink = Layouts(), MemorySink()
    sink.failure = AtomicTooWide(chunks=7)
    before = [prometheus.commit_failures[(kind,)]._value.get() for kind in ("transient", "fault")]
    async with Committer(sink, _no_state, limits=settings.QueueSettings(), slots=1) as committer:
        ticket = committer.submit(batch(layouts, ("d", 0, {"a": 0.5})), atomic=True)
        with pytest.raises(AtomicTooWide) as refused:
            await asyncio.wait_for(ticket, SOON)
    assert refused.value.details == {"chunks": 7}
    assert [prometheus.commit_failures[(kind,)]._value.get() for kind in ("transient", "fault")] == before
