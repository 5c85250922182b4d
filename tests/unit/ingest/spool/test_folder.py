"""Spool files that are left while others run: taken over in bounded time, emptied, given up."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from gateway.core.errors import StartError
from gateway.domain.contracts.ingest import Spool
from gateway.domain.model import Batch
from gateway.ingest.pipeline.drainer import IDLE_SECS, REFRESH_SECS
from gateway.ingest.spool.spool import SqliteSpool
from tests.builders.spooled import devices_in, files, many, named, names, opened
from tests.fakes.spool import MemorySpool
from tests.unit.ingest.pipeline.drain_bench import Bench, virtual

SOON = 30.0


async def leave(folder: Path, worker: str, batches: Sequence[Batch]) -> None:
    """What a worker leaves behind that is gone."""
    async with opened(folder, worker) as spools:
        await spools.own.append(batches)


async def empty(spool: SqliteSpool) -> None:
    await spool.remove([each.id for each in await spool.oldest(10**9)])


async def test_what_is_left_while_others_run_is_taken_over_by_one_of_them(tmp_path: Path) -> None:
    async with opened(tmp_path, "a") as one, opened(tmp_path, "b") as two:
        await leave(tmp_path, "c", many(3))
        both = await asyncio.gather(one.refresh(), two.refresh())
        found = [spool for spools in both for spool in spools if spool.name == "c.db"]
        assert [await devices_in(spool) for spool in found] == [names(3)]


async def test_what_was_emptied_is_given_up_and_the_name_is_free_again(tmp_path: Path) -> None:
    async with opened(tmp_path, "a") as spools:
        await leave(tmp_path, "b", many(2))
        taken, own = await spools.refresh()
        assert (taken.name, own.name) == ("b.db", "a.db")
        async with opened(tmp_path, "b") as again:
            assert again.own.name == "b-1.db", "its file has another owner"
        await empty(taken)
        assert [spool.name for spool in await spools.refresh()] == ["b-1.db", "a.db"]
        await spools.refresh()
        assert set(files(tmp_path)) == {"a.db", "a.db-wal", "a.db-shm", "a.lock"}
        async with opened(tmp_path, "b") as again:
            assert again.own.name == "b.db"


async def test_what_is_not_empty_is_kept_and_the_oldest_comes_first(tmp_path: Path) -> None:
    async with opened(tmp_path, "a") as spools:
        await leave(tmp_path, "b", many(1))
        await spools.refresh()
        await leave(tmp_path, "c", many(1))
        assert [spool.name for spool in await spools.refresh()] == ["b.db", "c.db", "a.db"]
        assert [spool.name for spool in await spools.refresh()] == ["b.db", "c.db", "a.db"]


async def test_a_folder_that_cannot_be_read_changes_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    async with opened(folder, "a") as spools:
        await leave(folder, "b", many(1))
        before = await spools.refresh()
        folder.rename(tmp_path / "away")
        with pytest.raises(StartError, match="cannot look into the spool folder"):
            await spools.refresh()
        (tmp_path / "away").rename(folder)
        assert await spools.refresh() == before


async def test_what_was_claimed_when_the_gateway_stopped_is_free_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hangs(_: SqliteSpool) -> None:
        await asyncio.Event().wait()

    async with opened(tmp_path, "a") as spools:
        await leave(tmp_path, "b", many(1))
        await leave(tmp_path, "c", many(1))
        with monkeypatch.context() as patch:
            patch.setattr(SqliteSpool, "open", hangs)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(spools.refresh(), 0.5)
    async with opened(tmp_path, "d") as later:
        assert [spool.name for spool in later.left] == ["a.db", "b.db", "c.db"]


def test_the_drainer_empties_what_is_left_while_it_runs() -> None:
    async def main() -> None:
        own, left = MemorySpool(), MemorySpool()
        await left.append(many(3))
        found: list[Spool] = [own]

        async def refresh() -> Sequence[Spool]:
            return list(found)

        bench = Bench(own, refresh=refresh)
        async with bench.drainer as running:
            await asyncio.sleep(3 * REFRESH_SECS)
            found.insert(0, left)
            await asyncio.sleep(REFRESH_SECS + IDLE_SECS)
            assert bench.order == names(3)
            found.remove(left)
            await asyncio.sleep(REFRESH_SECS + IDLE_SECS)
            await left.append([named("given up")])
            await asyncio.sleep(3 * REFRESH_SECS)
            assert bench.order == names(3)
            assert running.waiting().rows == 0

    virtual(main)


@pytest.mark.parametrize("error", [StartError("no folder"), RuntimeError("a mistake")])
def test_a_look_around_that_fails_stops_nothing(error: Exception) -> None:
    async def main() -> None:
        failures = []

        async def refresh() -> Sequence[Spool]:
            failures.append(error)
            raise error

        bench = Bench(refresh=refresh)
        async with bench.drainer:
            await asyncio.sleep(3 * (REFRESH_SECS + IDLE_SECS))
            await bench.spools[0].append(many(2))
            await bench.until_empty()
        assert bench.order == names(2)
        assert len(failures) >= 3

    virtual(main)
