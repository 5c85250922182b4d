"""The steps of a round of the drainer: burying before removing, and failures and crashes between the steps."""

import asyncio
from collections.abc import Iterator, Sequence

from gateway.core.errors import SinkUnavailable, SpoolFault
from gateway.domain.layouts import Layouts
from gateway.domain.model import Batch, Outcome
from gateway.ingest.pipeline.drainer import Drainer
from tests.builders.batches import batch
from tests.builders.spooled import devices_in, many, named, names
from tests.fakes.spool import MemorySpool
from tests.unit.ingest.pipeline.drain_bench import Bench, Highest, virtual


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
        async with bench.drainer:
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
        async with bench.drainer:
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
        async with bench.drainer as drainer:
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
        async with first.drainer:
            await asyncio.sleep(0.05)
        assert first.order == names(3)
        assert spool.rows == 60
        spool.stuck = False
        second = Bench(spool)
        second.sink = first.sink
        before = dict(first.sink.messages)
        async with second.drainer:
            await second.until_empty()
        assert second.order == names(3)
        assert (second.sink.messages, second.buried) == (before, [])

    virtual(main)


def test_stopping_in_the_middle_of_a_round_keeps_it() -> None:
    async def main() -> None:
        bench = Bench()
        bench.sink.hold()
        await bench.spools[0].append(many(3))
        async with bench.drainer:
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
