"""What the spool and the drainer do is counted, once."""

import asyncio
from pathlib import Path

from prometheus_client import REGISTRY

from gateway.core.errors import SinkUnavailable, SpoolFull
from gateway.domain.layouts import Layouts
from tests.builders.batches import batch
from tests.builders.spooled import execute, fill, many, opened
from tests.unit.ingest.pipeline.drain_bench import Bench, virtual


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"gateway_{name}", labels) or 0.0


async def test_damaged_records_are_counted_when_they_are_set_aside(tmp_path: Path) -> None:
    async with opened(tmp_path) as spools:
        await spools.own.append(many(3))
    execute(tmp_path / "w.db", "update records set content = x'00' where id < 3")
    before = counted("spool_damaged_records_total")
    async with opened(tmp_path) as spools:
        await spools.own.oldest(1000)
        await spools.own.oldest(1000)
    assert counted("spool_damaged_records_total") - before == 2


async def test_what_is_turned_away_is_counted_by_cause(tmp_path: Path) -> None:
    before = counted("spool_refusals_total", cause="full")
    async with opened(tmp_path, max_bytes=100_000) as spools:
        await fill(spools.own, SpoolFull)
    assert counted("spool_refusals_total", cause="full") - before == 1


def test_readings_leave_the_books_once_however_often_a_round_is_repeated() -> None:
    def drained() -> list[float]:
        return [
            counted("readings_from_spool_total", outcome=outcome) for outcome in ("stored", "duplicates", "conflicts")
        ]

    async def main() -> None:
        bench = Bench()
        await bench.sink.write([batch(Layouts(), ("d1", 0, {"t": 9.5, "h": 9.25}))])
        await bench.spools[0].append(many(3, 1))
        bench.fails_to_bury = SinkUnavailable()
        before = drained()
        async with bench.drainer:
            await asyncio.sleep(10)
            assert drained() == before
            bench.fails_to_bury = None
            await bench.until_empty()
        changes = [after - b for after, b in zip(drained(), before, strict=True)]
        assert changes == [0, 4, 2]  # the first try had stored the others

    virtual(main)


def test_what_waits_is_shown() -> None:
    async def main() -> None:
        bench = Bench()
        bench.sink.failure = SinkUnavailable()
        await bench.spools[0].append(many(3))
        async with bench.drainer:
            await asyncio.sleep(1)
            assert counted("spool_rows") == 60
            assert counted("spool_bytes") == bench.spools[0].size
            bench.sink.failure = None
            await bench.until_empty()
            await asyncio.sleep(2)
            assert counted("spool_rows") == 0

    virtual(main)
