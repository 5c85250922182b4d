"""The drainer in virtual time: order, backoff, giving way, burying before removing, and crashes between the steps."""

import asyncio
import selectors
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import pytest

from gateway.errors import SinkFault, SinkUnavailable, SpoolFault
from gateway.layouts import Layouts
from gateway.model import Batch, Outcome
from gateway.pipeline.drainer import LONGEST_RETRY_SECS, SMALL_ROWS, Drainer
from gateway.testing import ManualClock, MemorySink
from gateway.testing.spool import MemorySpool
from tests.batches import NOON, batch
from tests.spooled import devices_in, many, named, names


class _Skipping(selectors.DefaultSelector):
    """Lets the waited-for time pass at once."""

    passed = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "everything waits for ever"
        self.passed += timeout
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """Time passes only while everybody waits."""

    def __init__(self) -> None:
        self._skipping = _Skipping()
        super().__init__(self._skipping)

    def time(self) -> float:
        return self._skipping.passed


def virtual(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main())


class Highest(Random):
    """Draws the top of the span, so that a test can say how long a wait is."""

    def uniform(self, a: float, b: float) -> float:
        return b


class Bench:
    """A drainer between memory spools and a memory sink; notes what happens and when."""

    def __init__(self, *spools: MemorySpool, max_rows: int = 20_000) -> None:
        self.spools = spools or (MemorySpool(),)
        self.sink = MemorySink(Layouts())
        self.live = False
        self.stored: list[tuple[float, list[str]]] = []
        self.failed: list[float] = []
        self.buried: list[tuple[str, Outcome]] = []
        self.fails_to_bury: Exception | None = None
        self.takes_secs = 0.0
        self.drainer = Drainer(
            self.spools, self.store, bury=self.bury, busy=lambda: self.live, rng=Highest(), max_rows=max_rows
        )

    async def store(self, group: Sequence[Batch]) -> list[Outcome]:
        await asyncio.sleep(self.takes_secs)
        try:
            written = await self.sink.write(group)
        except Exception:
            self.failed.append(now())
            raise
        self.stored.append((now(), [one.devices[0] for one in group]))
        return written.outcomes

    async def bury(self, one: Batch, outcome: Outcome) -> None:
        if self.fails_to_bury:
            raise self.fails_to_bury
        assert self.spools[0].rows, "removed before it was buried"
        self.buried.append((one.devices[0], outcome))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Drainer]:
        async with self.drainer as drainer:
            yield drainer

    async def until_empty(self) -> None:
        async with asyncio.timeout(1000):
            while self.drainer.waiting().rows:
                await asyncio.sleep(0.001)

    @property
    def order(self) -> list[str]:
        return [device for _, group in self.stored for device in group]


def now() -> float:
    return asyncio.get_running_loop().time()


def test_all_is_stored_once_oldest_first_and_removed() -> None:
    async def main() -> None:
        bench = Bench(max_rows=100)
        for one in many(30):
            await bench.spools[0].append([one])
        async with bench.running():
            await bench.until_empty()
        assert bench.order == names(30)
        assert [len(group) for _, group in bench.stored] == [5] * 6
        assert len(bench.sink.messages) == 600

    virtual(main)


def test_what_dead_workers_left_comes_first() -> None:
    async def main() -> None:
        left, own = MemorySpool(), MemorySpool()
        await own.append([named("own")])
        await left.append([named("left")])
        bench = Bench(left, own)
        async with bench.running():
            await bench.until_empty()
        assert bench.order == ["left", "own"]

    virtual(main)


def test_a_spool_that_cannot_be_read_does_not_stop_the_others() -> None:
    async def main() -> None:
        broken, own = MemorySpool(), MemorySpool()
        await broken.append([named("stuck")])
        await own.append(many(3))
        broken.failure = SpoolFault("rotten")
        bench = Bench(broken, own)
        async with bench.running() as drainer:
            await asyncio.sleep(2)
            assert bench.order == names(3)
            assert drainer.waiting().error == "rotten"
            broken.failure = None
            await bench.until_empty()
            assert bench.order == [*names(3), "stuck"]
            assert drainer.waiting().error == ""

    virtual(main)


@pytest.mark.parametrize("error", [SinkUnavailable("away"), SinkFault("no rights"), RuntimeError("a mistake")])
def test_while_the_database_fails_waits_grow_and_nothing_is_lost(error: Exception) -> None:
    async def main() -> None:
        bench = Bench()
        bench.sink.failure = error
        await bench.spools[0].append(many(3))
        async with bench.running() as drainer:
            await asyncio.sleep(300)
            waits = [later - earlier for earlier, later in zip(bench.failed, bench.failed[1:], strict=False)]
            assert waits[:9] == pytest.approx([0.1 * 2**i for i in range(9)])
            assert waits[9:] == pytest.approx([LONGEST_RETRY_SECS] * len(waits[9:]))
            assert len(waits) > 12
            assert str(error) in drainer.waiting().error
            assert await devices_in(bench.spools[0]) == names(3)
            bench.sink.failure = None
            await bench.until_empty()
            await asyncio.sleep(2)
            assert drainer.waiting().error == ""
        assert bench.order == names(3)

    virtual(main)


def test_waits_are_drawn_from_the_whole_span() -> None:
    async def main() -> None:
        bench = Bench()
        bench.sink.failure = SinkUnavailable()
        await bench.spools[0].append(many(1))
        drainer = Drainer(bench.spools, bench.store, bury=bench.bury, busy=lambda: False, rng=Random(1), max_rows=10)
        async with drainer:
            await asyncio.sleep(2000)
        waits = [later - earlier for earlier, later in zip(bench.failed, bench.failed[1:], strict=False)]
        assert min(waits[9:]) < LONGEST_RETRY_SECS * 0.2
        assert LONGEST_RETRY_SECS * 0.8 < max(waits) <= LONGEST_RETRY_SECS

    virtual(main)


def test_a_kick_ends_the_wait() -> None:
    async def main() -> None:
        bench = Bench()
        bench.sink.failure = SinkUnavailable()
        await bench.spools[0].append(many(1))
        async with bench.running() as drainer:
            await asyncio.sleep(100)
            failures = len(bench.failed)
            drainer.kick()
            await asyncio.sleep(0.3)
            assert len(bench.failed) - failures >= 2  # at once, and the waits begin anew
            bench.sink.failure = None
            kicked = now()
            drainer.kick()
            await bench.until_empty()
            assert now() - kicked < 0.01

    virtual(main)


def test_what_comes_later_is_found_without_a_kick() -> None:
    async def main() -> None:
        bench = Bench()
        async with bench.running():
            await asyncio.sleep(100)
            await bench.spools[0].append(many(1))
            await asyncio.sleep(1.01)
            assert bench.order == ["d0"]

    virtual(main)


def test_live_traffic_goes_first_but_never_starves_the_spool() -> None:
    async def main() -> None:
        bench = Bench(max_rows=10 * SMALL_ROWS)
        bench.takes_secs = 0.02
        for one in many(40, SMALL_ROWS // 2):
            await bench.spools[0].append([one])
        async with bench.running():
            bench.live = True
            await asyncio.sleep(1)
            groups = bench.stored.copy()
            assert {len(group) for _, group in groups} == {2}
            starts = [at - bench.takes_secs for at, _ in groups]
            idle = [start - at for start, (at, _) in zip(starts[1:], groups, strict=False)]
            assert min(idle) >= 3 * bench.takes_secs - 0.001
            bench.takes_secs = 5.0  # a slow database: the wait is bounded all the same
            await asyncio.sleep(30)
            slow = bench.stored[len(groups) + 1 :]
            assert len(slow) >= 4
            bench.takes_secs = 0.02
            bench.live = False
            await bench.until_empty()
        assert bench.order == names(40)
        assert max(len(group) for _, group in bench.stored) > 2

    virtual(main)


def test_full_speed_is_back_as_soon_as_nothing_live_waits() -> None:
    async def main() -> None:
        bench = Bench(max_rows=20)
        bench.takes_secs = 0.1
        for one in many(3):
            await bench.spools[0].append([one])
        async with bench.running():
            bench.live = True
            await asyncio.sleep(0.15)
            assert len(bench.stored) == 1
            bench.live = False
            await bench.until_empty()
            assert now() < 0.4

    virtual(main)


def conflicting(bench: Bench) -> Iterator[Batch]:
    """Batches of which the second was told otherwise already, and the third will be rejected."""
    bench.sink.rejects["bad"] = "23514: no"
    yield named("d0")
    yield batch(Layouts(), ("d1", 0, {"t": 9.5, "h": 9.25}), ("fine", 1, {"t": 0.5}))
    yield batch(Layouts(), ("bad", 0, {"t": 0.5}))


async def told_otherwise(bench: Bench) -> None:
    await bench.sink.write([named("d1")])
    await bench.spools[0].append(list(conflicting(bench)))


def test_what_the_database_does_not_take_is_buried_before_it_is_removed() -> None:
    async def main() -> None:
        bench = Bench()
        await told_otherwise(bench)
        async with bench.running():
            await bench.until_empty()
        assert [(device, list(out.conflicts), list(out.rejected)) for device, out in bench.buried] == [
            ("d1", [0], []),
            ("bad", [], [(0, "23514: no")]),
        ]

    virtual(main)


def test_while_burying_fails_nothing_is_removed() -> None:
    async def main() -> None:
        bench = Bench()
        bench.fails_to_bury = SinkUnavailable()
        await told_otherwise(bench)
        async with bench.running():
            await asyncio.sleep(10)
            assert await devices_in(bench.spools[0]) == ["d0", "d1", "bad"]
            bench.fails_to_bury = None
            await bench.until_empty()
        assert [device for device, _ in bench.buried] == ["d1", "bad"]

    virtual(main)


class Unremovable(MemorySpool):
    """A disk that can be read but, while `stuck`, not written."""

    stuck = True

    async def remove(self, ids: Sequence[int]) -> None:
        if self.stuck:
            raise SpoolFault("read-only")
        await super().remove(ids)


def test_what_is_stored_and_cannot_be_removed_is_not_stored_and_buried_again() -> None:
    async def main() -> None:
        spool = Unremovable()
        bench = Bench(spool)
        await told_otherwise(bench)
        async with bench.running() as drainer:
            await asyncio.sleep(100)
            assert (len(bench.stored), len(bench.buried)) == (1, 2)
            assert drainer.waiting().error == "read-only"
            spool.stuck = False
            await bench.until_empty()
        assert (len(bench.stored), len(bench.buried)) == (1, 2)

    virtual(main)


def test_a_crash_between_store_and_remove_repeats_the_round() -> None:
    async def main() -> None:
        spool = Unremovable()
        await spool.append(many(3))
        first = Bench(spool)
        async with first.running():
            await asyncio.sleep(0.05)
        assert first.order == names(3)
        assert spool.rows == 60
        spool.stuck = False
        second = Bench(spool)
        second.sink = first.sink
        before = dict(first.sink.messages)
        async with second.running():
            await second.until_empty()
        assert second.order == names(3)
        assert (second.sink.messages, second.buried) == (before, [])

    virtual(main)


def test_stopping_in_the_middle_of_a_round_keeps_it() -> None:
    async def main() -> None:
        bench = Bench()
        bench.sink.hold()
        await bench.spools[0].append(many(3))
        async with bench.running():
            await asyncio.sleep(1)
        assert await devices_in(bench.spools[0]) == names(3)
        assert bench.drainer._task
        assert bench.drainer._task.cancelled()

    virtual(main)


def test_too_few_outcomes_are_a_mistake_and_remove_nothing() -> None:
    async def main() -> None:
        spool = MemorySpool()
        await spool.append(many(2))

        async def forgetful(group: Sequence[Batch]) -> list[Outcome]:
            return [Outcome(one.readings) for one in group[1:]]

        bench = Bench(spool)
        drainer = Drainer([spool], forgetful, bury=bench.bury, busy=lambda: False, rng=Highest(), max_rows=1000)
        async with drainer:
            await asyncio.sleep(1)
            assert drainer.waiting().error
        assert spool.rows == 40

    virtual(main)


def test_what_waits_is_told() -> None:
    async def main() -> None:
        clock = ManualClock(NOON)
        left, own = MemorySpool(clock=clock), MemorySpool(clock=clock)
        await own.append([named("own", 3)])
        clock.advance(10)
        await left.append([named("left", 2)])
        bench = Bench(left, own)
        waiting = bench.drainer.waiting()
        assert waiting == (5, left.size + own.size, NOON, "")
        async with bench.running():
            await bench.until_empty()
            assert bench.drainer.waiting() == (0, 0, None, "")

    virtual(main)
