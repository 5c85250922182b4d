"""Who owns which spool file: workers that live, workers that are gone, and names that are taken."""

import asyncio
import fcntl
from collections.abc import Sequence
from pathlib import Path

import pytest

from gateway.domain.model import Batch
from gateway.ingest.spool.claims import claim_left, claim_own
from tests.builders.spooled import devices_in, execute, files, many, named, names, opened
from tests.fakes import ManualClock


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "not" / "yet" / "there"


async def leave(folder: Path, worker: str, batches: Sequence[Batch]) -> None:
    """What a dead worker leaves behind."""
    async with opened(folder, worker) as spools:
        if batches:
            await spools.own.append(batches)


async def test_what_dead_workers_left_is_taken_over(folder: Path) -> None:
    await leave(folder, "a", [named("of-a")])
    async with opened(folder, "b"), opened(folder, "c") as other:
        await other.own.append([named("of-c")])
    async with opened(folder, "d") as spools:
        assert sorted(each.name for each in spools.left) == ["a.db", "b.db", "c.db"]
        found = {each.name: await devices_in(each) for each in spools.left}
    assert found == {"a.db": ["of-a"], "b.db": [], "c.db": ["of-c"]}


async def test_what_was_left_longest_ago_comes_first(folder: Path) -> None:
    clock = ManualClock()
    async with opened(folder, "a", clock=clock) as first, opened(folder, "b", clock=clock) as second:
        for spools in (second, first):
            await spools.own.append([named("d")])
            clock.advance(1)
    async with opened(folder, "c") as spools:
        assert [each.name for each in spools.left] == ["b.db", "a.db"]


async def test_what_was_emptied_is_deleted_and_what_was_not_stays(folder: Path) -> None:
    await leave(folder, "a", many(3))
    await leave(folder, "b", many(3))
    await leave(folder, "empty", [])
    await leave(folder, "damaged", many(1))
    execute(folder / "damaged.db", "update records set content = x'00'")
    async with opened(folder, "w") as spools:
        for each in spools.left:
            group = await each.oldest(10**6)
            await each.remove([one.id for one in group[each.name == "b.db" :]])
    assert set(files(folder, "*.db*")) == {"b.db", "damaged.db", "w.db"}
    assert set(files(folder, "*.lock")) == {"b.lock", "damaged.lock", "w.lock"}


async def test_the_file_of_a_living_worker_is_left_alone(folder: Path) -> None:
    async with opened(folder, "a") as first, opened(folder, "b") as second, opened(folder, "a") as third:
        assert (second.left, third.left) == ([], [])
        assert [each.own.name for each in (first, second, third)] == ["a.db", "b.db", "a-1.db"]
        await asyncio.gather(*(each.own.append([named("d")]) for each in (first, second, third)))
    async with opened(folder, "b") as again:
        assert [each.name for each in again.left] == ["a-1.db", "a.db"]


async def test_a_half_salvaged_file_is_found_too(folder: Path) -> None:
    await leave(folder, "a", many(2))
    (folder / "a.db").rename(folder / "a.db.new")
    async with opened(folder, "b") as spools:
        assert [await devices_in(each) for each in spools.left] == [names(2)]


def test_a_lock_deleted_while_it_was_waited_for_protects_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = claim_own(folder, "a")
    (folder / "a.db").touch()
    flock = fcntl.flock

    def deleting(number: int, operation: int) -> None:
        monkeypatch.undo()
        first.release(deleted=True)
        flock(number, operation)

    monkeypatch.setattr("fcntl.flock", deleting)
    (second,) = claim_left(folder)
    assert claim_left(folder) == []
    second.release()
    (third,) = claim_left(folder)
    third.release(deleted=True)
    assert not (folder / "a.lock").exists()
