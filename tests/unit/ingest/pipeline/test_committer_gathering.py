"""When a slot commits at once, and when it lets more gather: groups as large as the load makes them, and no waiting."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from gateway.core import settings
from gateway.domain.layouts import Layouts
from gateway.domain.model import Block, Outcome
from gateway.ingest.pipeline import committer as module
from gateway.ingest.pipeline.committer import Committer
from tests.builders.batches import batch
from tests.fakes import MemorySink

SOON = 5.0
LAYOUTS = Layouts()
Ticket = asyncio.Future[Outcome]


async def _no_state(blocks: Sequence[Block]) -> None:
    pass


@pytest.fixture
def sink() -> MemorySink:
    return MemorySink()


@pytest.fixture
async def two_slots(sink: MemorySink) -> AsyncIterator[Committer]:
    async with Committer(sink, _no_state, limits=settings.QueueSettings(), slots=2) as committer:
        yield committer
        sink.release()


async def submit(committer: Committer, *numbers: int) -> list[Ticket]:
    tickets = [committer.submit(batch(LAYOUTS, ("d", number, {"a": 0.5}))) for number in numbers]
    for _ in range(20):
        await asyncio.sleep(0)
    return tickets


async def test_while_one_commits_less_than_that_gathers(
    two_slots: Committer, sink: MemorySink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SLOW_COMMIT_SECS", 60.0)
    sink.hold()
    await submit(two_slots, 1, 2, 3)
    first = two_slots.in_hand
    await submit(two_slots, *range(10, 10 + first - 1))
    assert two_slots.batcher.rows == first - 1, "the other slot waits"
    await submit(two_slots, 99)
    assert (two_slots.batcher.rows, two_slots.in_hand) == (0, 2 * first), "until it is as much"


async def test_what_gathers_goes_when_the_commit_is_done(
    two_slots: Committer, sink: MemorySink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SLOW_COMMIT_SECS", 60.0)
    sink.hold()
    tickets = await submit(two_slots, 1, 2, 3)
    tickets += await submit(two_slots, 4)
    assert two_slots.batcher.rows == 1
    sink.release()
    await asyncio.wait_for(asyncio.gather(*tickets), SOON)


async def test_a_slow_commit_holds_nobody_back(
    two_slots: Committer, sink: MemorySink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SLOW_COMMIT_SECS", 0.01)
    sink.hold()
    await submit(two_slots, 1, 2, 3)
    await submit(two_slots, 4)
    async with asyncio.timeout(SOON):
        while two_slots.batcher.rows:  # noqa: ASYNC110 - nothing tells that a slot took it
            await asyncio.sleep(0.001)
    assert sink.writes == 0, "both are under way"


async def test_a_commit_that_fails_holds_nobody_back(
    two_slots: Committer, sink: MemorySink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SLOW_COMMIT_SECS", 60.0)
    sink.hold()
    failing = await submit(two_slots, 1, 2, 3)
    waiting = await submit(two_slots, 4)
    sink.failure = RuntimeError("a mistake")
    sink.release()
    results = await asyncio.wait_for(asyncio.gather(*failing, *waiting, return_exceptions=True), SOON)
    assert all(isinstance(result, Exception) for result in results)
    sink.failure = None
    await asyncio.wait_for(asyncio.gather(*await submit(two_slots, 5)), SOON)
