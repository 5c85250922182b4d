"""The drainer in virtual time: order, backoff, giving way to live traffic."""

import asyncio
from random import Random

import pytest

from gateway.core.errors import SinkFault, SinkUnavailable, SpoolFault
from gateway.ingest.pipeline import drainer
from gateway.ingest.pipeline.drainer import LONGEST_RETRY_SECS, Drainer
from tests.builders.batches import NOON
from tests.builders.spooled import devices_in, many, named, names
from tests.fakes import ManualClock
from tests.fakes.spool import MemorySpool
from tests.unit.ingest.pipeline.drain_bench import Bench, now, virtual


def test_all_is_stored_once_oldest_first_and_removed() -> None:
    async def main() -> None:
        bench = Bench(max_rows=100)
        for one in many(30):
            await bench.spools[0].append([one])
        async with bench.drainer:
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
        async with bench.drainer:
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
        async with bench.drainer as running:
            await asyncio.sleep(2)
            assert bench.order == names(3)
            assert running.waiting().error == "rotten"
            broken.failure = None
            await bench.until_empty()
            assert bench.order == [*names(3), "stuck"]
            assert running.waiting().error == ""

    virtual(main)


@pytest.mark.parametrize("error", [SinkUnavailable("away"), SinkFault("no rights"), RuntimeError("a mistake")])
def test_while_the_database_fails_waits_grow_and_nothing_is_lost(error: Exception) -> None:
    async def main() -> None:
        bench = Bench()
        bench.sink.failure = error
        await bench.spools[0].append(many(3))
        async with bench.drainer as running:
            await asyncio.sleep(300)
            waits = [later - earlier for earlier, later in zip(bench.failed, bench.failed[1:], strict=False)]
            assert waits[:9] == pytest.approx([0.1 * 2**i for i in range(9)])
            assert waits[9:] == pytest.approx([LONGEST_RETRY_SECS] * len(waits[9:]))
            assert len(waits) > 12
            assert str(error) in running.waiting().error
            assert await devices_in(bench.spools[0]) == names(3)
            bench.sink.failure = None
            await bench.until_empty()
            await asyncio.sleep(2)
            assert running.waiting().error == ""
            bench.sink.failure = error
            failures = len(bench.failed)
            await bench.spools[0].append(many(1))
            await asyncio.sleep(2)
            assert len(bench.failed) - failures >= 3  # the waits begin anew
        assert bench.order == names(3)

    virtual(main)


def test_waits_are_drawn_from_the_whole_span() -> None:
    async def main() -> None:
        bench = Bench()
        bench.sink.failure = SinkUnavailable()
        await bench.spools[0].append(many(1))
        async with Drainer(bench.spools, bench.store, bury=bench.bury, busy=lambda: False, rng=Random(1), max_rows=10):
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
        async with bench.drainer as running:
            await asyncio.sleep(100)
            failures = len(bench.failed)
            running.kick()
            await asyncio.sleep(0.3)
            assert len(bench.failed) - failures >= 2  # at once, and the waits begin anew
            bench.sink.failure = None
            kicked = now()
            running.kick()
            await bench.until_empty()
            assert now() - kicked < 0.01

    virtual(main)


def test_what_comes_later_is_found_without_a_kick() -> None:
    async def main() -> None:
        bench = Bench()
        async with bench.drainer:
            await asyncio.sleep(100)
            await bench.spools[0].append(many(1))
            await asyncio.sleep(1.01)
            assert bench.order == ["d0"]

    virtual(main)


def test_live_traffic_goes_first_but_never_starves_the_spool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drainer, "SMALL_ROWS", 40)

    async def main() -> None:
        bench = Bench(max_rows=400)
        for one in many(100):
            await bench.spools[0].append([one])
        bench.live = True
        bench.takes_secs = 0.02
        async with bench.drainer:
            await asyncio.sleep(1)
            starts = [at - bench.takes_secs for at, _ in bench.stored]
            idle = [start - at for start, (at, _) in zip(starts[1:], bench.stored, strict=False)]
            assert min(idle) >= 3 * bench.takes_secs - 0.001
            quick = len(bench.stored)
            assert quick > 10
            bench.takes_secs = 5.0  # a slow database: the wait is bounded all the same
            await asyncio.sleep(30)
            assert len(bench.stored) - quick >= 5
            assert {len(group) for _, group in bench.stored} == {2}
            bench.takes_secs = 0.02
            bench.live = False
            await bench.until_empty()
        assert bench.order == names(100)
        assert max(len(group) for _, group in bench.stored) == 20

    virtual(main)


def test_full_speed_is_back_as_soon_as_nothing_live_waits() -> None:
    async def main() -> None:
        bench = Bench(max_rows=20)
        bench.takes_secs = 0.1
        for one in many(3):
            await bench.spools[0].append([one])
        async with bench.drainer:
            bench.live = True
            await asyncio.sleep(0.15)
            assert len(bench.stored) == 1
            bench.live = False
            await bench.until_empty()
            assert now() < 0.4

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
        async with bench.drainer:
            await bench.until_empty()
            assert bench.drainer.waiting() == (0, 0, None, "")

    virtual(main)
