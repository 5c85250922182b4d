"""The way to the live state: what an acknowledgement waits for, what is kept while Redis is away, what is dropped."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from gateway.core import settings
from gateway.domain.model import Block
from gateway.state import publisher
from gateway.state.publisher import Publisher
from gateway.telemetry import prometheus
from tests.builders.batches import NOON
from tests.builders.blocks import block, join
from tests.fakes import MemoryState

SOON = 5.0
LONG_MS = 60_000


class SlowState(MemoryState):
    """Waits while it is held; cannot take blocks of the device `poison`."""

    def __init__(self) -> None:
        super().__init__()
        self.open = asyncio.Event()
        self.open.set()
        self.calls: list[int] = []
        """Blocks in each call."""

    async def apply(self, blocks: Sequence[Block], *, later_wins: bool = True, spooled: bool = False) -> list[str]:
        self.calls.append(len(blocks))
        await self.open.wait()
        if any("poison" in each.names for each in blocks):
            raise ValueError("cannot be packed")
        return await super().apply(blocks, later_wins=later_wins, spooled=spooled)


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(SOON):
        while not holds():  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.001)


async def _shown(state: MemoryState, device: str = "d") -> list[tuple[int, tuple[float, ...]]]:
    return [(entry.time_us - NOON, entry.doubles) for entry in state.held(device)]


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher, "RETRY_SECS", 0.001)


@asynccontextmanager
async def publishing(state: MemoryState, *, wait_ms: int = LONG_MS, max_rows: int = 100) -> AsyncIterator[Publisher]:
    async with Publisher(state, settings.RedisSettings(ack_wait_ms=wait_ms, max_pending_rows=max_rows)) as one:
        yield one


def _skipped() -> float:
    value: float = prometheus.state_skipped_rows._value.get()
    return value


async def test_on_return_the_state_shows_it() -> None:
    state = MemoryState()
    async with publishing(state) as one:
        await one.publish([block("d", 1, doubles=(1.5,)), block("e", 1, doubles=(2.5,))])
        assert await _shown(state) == [(1, (1.5,))]
        assert one.behind == 0


async def test_however_many_publish_at_once_each_sees_its_own() -> None:
    state = SlowState()

    async def publish(one: Publisher, i: int) -> None:
        await one.publish([block(f"d{i}", i, doubles=(0.5,))])
        assert await _shown(state, f"d{i}") == [(i, (0.5,))]

    async with publishing(state) as one:
        await asyncio.gather(*(publish(one, i) for i in range(50)))
    assert sum(state.calls) == 50
    assert len(state.calls) <= 2  # what gathers during a call goes with the next


async def test_one_call_takes_so_many_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher, "CALL_ROWS", 3)
    state = SlowState()
    sizes = [1, 2, 2, 5, 1, 1]
    async with publishing(state) as one:
        state.open.clear()
        waits = [asyncio.create_task(one.publish([_rows(size)])) for size in sizes]
        await _until(lambda: one.behind == sum(sizes))
        state.open.set()
        await asyncio.gather(*waits)
    assert state.calls == [2, 1, 1, 2]


def _rows(count: int) -> Block:
    return join(*(block("d", i, doubles=(0.5,)) for i in range(count)))


async def test_of_equal_times_the_later_commit_wins() -> None:
    state = SlowState()
    async with publishing(state) as one:
        await asyncio.gather(*(one.publish([block("d", 0, doubles=(i + 0.5,))]) for i in range(20)))
    assert await _shown(state) == [(0, (19.5,))]


async def test_a_slow_state_is_not_waited_for_longer_than_the_bound() -> None:
    state = SlowState()
    state.open.clear()
    async with publishing(state, wait_ms=1) as one:
        await asyncio.wait_for(one.publish([block("d", 1, doubles=(0.5,))]), SOON)
        assert one.behind == 1
        state.open.set()
        await _until(lambda: one.behind == 0)
    assert await _shown(state) == [(1, (0.5,))]


async def test_while_redis_is_away_nobody_waits_and_afterwards_it_catches_up_in_order() -> None:
    state = MemoryState()
    state.away = True
    async with publishing(state) as one:
        for i in range(30):  # the first waits until the loss is known, not for the bound
            await asyncio.wait_for(one.publish([block("d", 0, doubles=(i + 0.5,))]), SOON)
        assert (one.healthy, one.behind) == (False, 30)
        state.away = False
        await _until(lambda: one.behind == 0)
        assert one.healthy
        assert await _shown(state) == [(0, (29.5,))]
        await one.publish([block("d", 1, doubles=(7.5,))])
        assert await _shown(state) == [(1, (7.5,))]


async def test_a_call_that_fails_lets_go_of_everyone_behind_it() -> None:
    state = SlowState()
    async with publishing(state) as one:
        state.open.clear()
        waits = [asyncio.create_task(one.publish([block("d", i, doubles=(0.5,))])) for i in range(10)]
        await _until(lambda: one.behind == 10)
        state.away = True
        state.open.set()
        await asyncio.wait_for(asyncio.gather(*waits), SOON)
        assert one.behind == 10
        state.away = False
        await _until(lambda: one.behind == 0)
    assert await _shown(state) == [(9, (0.5,))]


async def test_what_is_kept_is_bounded_and_the_oldest_go_first() -> None:
    state = MemoryState()
    state.away = True
    before = _skipped()
    async with publishing(state, max_rows=10) as one:
        for i in range(25):
            await one.publish([block(f"d{i}", i, doubles=(0.5,))])
            assert one.behind <= 10
        assert _skipped() - before == 15
        state.away = False
        await _until(lambda: one.behind == 0)
    names = [f"d{i}" for i in range(25)]
    assert [bool(state.held(name)) for name in names] == [False] * 15 + [True] * 10


async def test_what_is_kept_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher, "MAX_PENDING_BYTES", 20_000)
    state = MemoryState()
    state.away = True
    async with publishing(state, max_rows=10**6) as one:
        for i in range(30):
            await one.publish([block("d", i, texts=("x" * 4096,))])
        assert one.behind == 4


async def test_a_commit_larger_than_the_bound_is_still_shown() -> None:
    state = MemoryState()
    async with publishing(state, max_rows=2) as one:
        await one.publish([_rows(5)])
        assert await _shown(state) == [(4, (0.5,))]


async def test_one_block_that_cannot_be_packed_does_not_end_the_state() -> None:
    state = SlowState()
    before = _skipped()
    async with publishing(state) as one:
        await asyncio.wait_for(one.publish([block("poison", 0, doubles=(0.5,))]), SOON)
        assert _skipped() - before == 1
        await one.publish([block("d", 1, doubles=(0.5,))])
        assert await _shown(state) == [(1, (0.5,))]
        assert one.behind == 0


async def test_a_sender_that_gives_up_takes_nothing_with_it() -> None:
    state = SlowState()
    state.open.clear()
    async with publishing(state) as one:
        waits = [asyncio.create_task(one.publish([block(f"d{i}", i, doubles=(0.5,))])) for i in range(3)]
        await _until(lambda: one.behind == 3)
        waits[1].cancel()
        state.open.set()
        await asyncio.wait_for(asyncio.gather(*waits, return_exceptions=True), SOON)
    assert await _shown(state, "d1") == [(1, (0.5,))]


async def test_stopping_shows_what_is_left() -> None:
    state = SlowState()
    state.open.clear()
    async with publishing(state, wait_ms=1) as one:
        await one.publish([block("d", 1, doubles=(0.5,))])
        await one.publish([block("e", 1, doubles=(0.5,))])
        asyncio.get_running_loop().call_later(0.01, state.open.set)
    assert await _shown(state, "d") == await _shown(state, "e") == [(1, (0.5,))]


@pytest.mark.parametrize("away", [True, False], ids=["away", "hung"])
async def test_stopping_does_not_wait_for_a_state_that_is_gone(monkeypatch: pytest.MonkeyPatch, away: bool) -> None:
    monkeypatch.setattr(publisher, "STOP_SECS", 0.01)
    state = SlowState()
    before = _skipped()
    async with asyncio.timeout(SOON):
        async with publishing(state, wait_ms=1) as one:
            state.away = away
            if not away:
                state.open.clear()
            await one.publish([block("d", 1, doubles=(0.5,))])
    assert _skipped() - before == 1


async def test_a_commit_of_conflicts_only_has_nothing_to_wait_for() -> None:
    state = SlowState()
    state.open.clear()
    async with publishing(state) as one:
        await asyncio.wait_for(one.publish([]), SOON)
        await asyncio.wait_for(one.publish([block("d", 0).take(block("d", 0).devices[:0].astype("int64"))]), SOON)
    assert state.calls == []


async def test_of_equal_times_a_spooled_message_gives_way() -> None:
    """The database may hold the other one, and keeps the first."""
    state = SlowState()
    state.open.clear()
    async with publishing(state) as one:
        works = [
            asyncio.create_task(one.publish([block("d", after, doubles=(value,))], later_wins=later))
            for after, value, later in (
                (1, 0.5, True),
                (1, 1.5, False),
                (2, 2.5, False),
                (2, 3.5, False),
                (2, 4.5, True),
            )
        ]
        await _until(lambda: one.behind == len(works))
        state.open.set()
        await asyncio.gather(*works)
        assert await _shown(state) == [(2, (4.5,))]
    assert state.calls == [1, 3, 1]


async def test_what_is_spooled_and_what_is_stored_go_in_calls_of_their_own() -> None:
    state = SlowState()
    state.open.clear()
    async with publishing(state) as one:
        works = [
            asyncio.create_task(one.publish([block(name, 1, doubles=(0.5,))], spooled=spooled))
            for name, spooled in (("first", False), ("d", True), ("e", True), ("f", False))
        ]
        await _until(lambda: one.behind == len(works))
        state.open.set()
        await asyncio.gather(*works)
    assert state.calls == [1, 2, 1]
    assert state.spooled == {"d", "e"}


async def test_what_is_dropped_is_dropped_after_what_was_published_before_and_told_as_not_whole() -> None:
    state, part = SlowState(), list[str]()
    state.open.clear()
    async with Publisher(state, settings.RedisSettings(ack_wait_ms=LONG_MS), on_part=part.extend) as one:
        before = asyncio.create_task(one.publish([block("d", 5, doubles=(0.5,)), block("e", 5, doubles=(0.5,))]))
        await _until(lambda: one.behind == 2)
        one.drop(["d"])
        after = asyncio.create_task(one.publish([block("d", 1, doubles=(1.5,))]))
        await _until(lambda: one.behind == 4)
        state.open.set()
        await asyncio.gather(before, after)
    assert await _shown(state) == [(1, (1.5,))]
    assert await _shown(state, "e") == [(5, (0.5,))]
    assert part == ["d", "e", "d", "d"]


async def test_what_could_not_be_dropped_is_a_gap() -> None:
    state, gaps = MemoryState(), list[str]()
    state.away = True
    async with Publisher(state, settings.RedisSettings(ack_wait_ms=1), on_skip=lambda: gaps.append("")) as one:
        one.drop(["d"])
        await _until(lambda: not one.healthy)
    assert gaps == [""]
