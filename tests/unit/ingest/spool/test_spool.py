"""The spool on disk: groups, bounds, and disks that are full, slow, gone or not ours."""

import asyncio
import stat
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from gateway.core.errors import SpoolFault, SpoolFull, StartError
from gateway.ingest.spool import file, spool
from gateway.ingest.spool.codec import Record
from gateway.ingest.spool.file import SpoolFile, Verdict
from tests.builders.spooled import devices_in, files, fill, many, named, names, opened

SOON = 10.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "not" / "yet" / "there"


def modes(folder: Path) -> set[int]:
    return {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


async def test_a_file_with_nothing_in_it_takes_no_bytes(folder: Path) -> None:
    async with opened(folder) as spools:
        assert spools.own.size == 0
        await spools.own.append([named("d")])
        assert spools.own.size > 0
        await spools.own.remove([each.id for each in await spools.own.oldest(10)])
        assert spools.own.size == 0


# -- appending ---------------------------------------------------------------------------------------------------------


async def test_the_folder_is_made_for_its_owner_only(folder: Path) -> None:
    async with opened(folder) as spools:
        await spools.own.append([named("d")])
        assert modes(folder.parent) == {0o700}
        assert modes(folder) == {0o600}


async def test_what_was_acknowledged_was_synced(folder: Path) -> None:
    async with opened(folder) as spools:
        await spools.own.append([named("d")])
        connection = spools.own._file._connection
        assert connection
        asked = ("journal_mode", "synchronous")
        found = [
            await spools.own.in_thread(lambda name=name: connection.execute(f"pragma {name}").fetchone()[0])
            for name in asked
        ]
    assert found == ["wal", 2]


async def test_appends_that_arrive_during_a_transaction_share_the_next_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    append = SpoolFile.append

    def noting(self: SpoolFile, records: Sequence[Sequence[Record]], now_us: int) -> list[Verdict]:
        calls.append(len(records))
        return append(self, records, now_us)

    monkeypatch.setattr(SpoolFile, "append", noting)
    admission = threading.Event()
    async with opened(folder) as spools:
        spools.own._thread.submit(admission.wait, SOON)
        appends = [asyncio.create_task(spools.own.append([named("first")]))]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        appends += [asyncio.create_task(spools.own.append([one])) for one in many(30)]
        await asyncio.sleep(0)
        admission.set()
        await asyncio.wait_for(asyncio.gather(*appends), SOON)
        assert await devices_in(spools.own) == ["first", *names(30)]
    assert calls == [1, 30]


async def test_a_full_call_does_not_take_its_neighbours_with_it(folder: Path) -> None:
    async with opened(folder, max_bytes=400_000) as spools:
        outcomes = await asyncio.gather(
            spools.own.append([named("d0", 100)]),
            spools.own.append([named("x", 5000), named("y", 5000), named("z", 5000)]),
            spools.own.append([named("d1", 100)]),
            return_exceptions=True,
        )
        assert await devices_in(spools.own) == names(2)
    assert [type(outcome) for outcome in outcomes] == [type(None), SpoolFull, type(None)]


async def test_the_pages_themselves_are_what_may_not_pass_the_limit(folder: Path) -> None:
    limit = 1_000_000
    async with opened(folder, max_bytes=limit) as spools:
        for _ in range(3):
            taken = await fill(spools.own, SpoolFull, messages=300)
            assert limit * 0.9 < spools.own.size <= limit
            half = [each.id for each in await spools.own.oldest(300 * taken // 2)]
            await spools.own.remove(half)
    assert (folder / "w.db").stat().st_size <= limit


async def test_pages_half_empty_count_as_a_whole(folder: Path) -> None:
    async with opened(folder, max_bytes=600_000) as spools:
        outcomes = await asyncio.gather(
            spools.own.append([named("d0")]),
            spools.own.append([named("x", 140) for _ in range(100)]),  # 4,600 bytes each: one on a page of 8,192
            spools.own.append([named("d1")]),
            return_exceptions=True,
        )
        assert [type(outcome) for outcome in outcomes] == [type(None), SpoolFull, type(None)]
        assert await devices_in(spools.own) == names(2)
        assert spools.own.size < 60_000


async def test_a_drained_spool_gives_the_disk_back(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file, "SHRINK_BYTES", 100_000)
    async with opened(folder) as spools:
        await spools.own.append(many(50, 500))
    async with opened(folder) as spools:
        ids = [each.id for each in await spools.own.oldest(10**6)]
        await spools.own.remove(ids[1:])
        before = sum(files(folder).values())
        await spools.own.remove(ids)
        assert sum(files(folder).values()) < 200_000 < before
        await spools.own.append([named("next")])
        assert [(each.id, each.batch.devices) for each in await spools.own.oldest(1)] == [(ids[-1] + 1, ["next"])]


async def test_what_waits_for_the_disk_is_bounded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "WAITING_BYTES", 10_000)
    admission = threading.Event()
    async with opened(folder) as spools:
        spools.own._thread.submit(admission.wait, SOON)
        appends = [asyncio.create_task(spools.own.append([one])) for one in many(100)]
        await asyncio.sleep(0)
        admission.set()
        outcomes = await asyncio.gather(*appends, return_exceptions=True)
        kept = await devices_in(spools.own)
    assert any(isinstance(outcome, SpoolFault) for outcome in outcomes)
    assert kept == [f"d{i}" for i, outcome in enumerate(outcomes) if outcome is None]
    assert 0 < len(kept) < 50


async def test_a_disk_that_does_not_answer_is_waited_for_so_long_only(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    admission = threading.Event()
    async with opened(folder) as spools:
        monkeypatch.setattr(spool, "DISK_SECS", 0.05)
        spools.own._thread.submit(admission.wait, SOON)
        with pytest.raises(SpoolFault, match="does not answer"):
            await spools.own.append([named("late")])
        with pytest.raises(SpoolFault, match="does not answer"):
            await spools.own.remove([1])
        monkeypatch.setattr(spool, "DISK_SECS", SOON)
        admission.set()
        await spools.own.append([named("next")])
        assert (await devices_in(spools.own))[-1] == "next"


async def test_a_mistake_of_ours_is_told_to_whoever_waits(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(folder) as spools:
        with monkeypatch.context() as patch:
            patch.setattr(SpoolFile, "append", lambda *_: 1 / 0)
            with pytest.raises(SpoolFault):
                await spools.own.append([named("bad")])
        await spools.own.append([named("good")])
        assert await devices_in(spools.own) == ["good"]


async def test_closing_writes_what_waits(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "GROUP_BYTES", 1)
    async with opened(folder) as spools:
        appends = [asyncio.create_task(spools.own.append([one])) for one in many(10)]
        await asyncio.sleep(0)
    await asyncio.gather(*appends)
    async with opened(folder) as spools:
        assert await devices_in(spools.own) == names(10)


# -- failing disks -----------------------------------------------------------------------------------------------------


async def test_a_file_deleted_by_somebody_is_noticed_before_anything_is_lost_in_it(folder: Path) -> None:
    async with opened(folder) as spools:
        await spools.own.append([named("gone")])
        for name in files(folder, "w.db*"):
            (folder / name).unlink()
        with pytest.raises(SpoolFault, match="gone"):
            await spools.own.append([named("refused")])
        await spools.own.append([named("kept")])
    async with opened(folder) as spools:
        assert await devices_in(spools.own) == ["kept"]


async def test_a_spool_that_cannot_be_opened_works_as_soon_as_it_can(folder: Path) -> None:
    (folder / "w.db").mkdir(parents=True)
    async with opened(folder) as spools:
        with pytest.raises(SpoolFault):
            await spools.own.append([named("d")])
        with pytest.raises(SpoolFault):
            await spools.own.oldest(10)
        (folder / "w.db").rmdir()
        await spools.own.append([named("d")])
        assert await devices_in(spools.own) == ["d"]


async def test_a_folder_that_cannot_be_used_says_which_setting(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartError, match=r"spool\.dir"):
        async with opened(tmp_path / "file"):
            pytest.fail("it opened")
