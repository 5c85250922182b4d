"""A spool that can take nothing says so at once, and says it no more when it can again."""

import errno
import os
from pathlib import Path

import pytest

from gateway.core.errors import SpoolFault, SpoolFull
from gateway.ingest.spool import file, spool
from gateway.ingest.spool.codec import Record
from tests.builders.spooled import devices_in, fill, many, named, names, opened

MIB = 2**20


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What the disk says that it has room for."""
    found = [10**12]
    monkeypatch.setattr(file, "free_bytes", lambda _: found[0])
    return found


def left_by_probes(folder: Path) -> list[Path]:
    return list(folder.glob("*.probe"))


async def test_what_a_full_disk_refuses_is_remembered_until_there_is_room(tmp_path: Path, free: list[int]) -> None:
    async with opened(tmp_path) as spools:
        await spools.own.append([named("d")])
        assert spools.own.refusal is None
        free[0] = 10
        with pytest.raises(SpoolFault, match="disk is full"):
            await spools.own.append([named("d")])
        for _ in range(2):
            assert isinstance(spools.own.refusal, SpoolFault)
            await spools.own.probe()
        free[0] = 2 * spools.own.margin
        await spools.own.probe()
        assert spools.own.refusal is None
        assert left_by_probes(tmp_path) == []


async def test_an_append_that_is_taken_ends_it_too(tmp_path: Path, free: list[int]) -> None:
    async with opened(tmp_path) as spools:
        free[0] = 0
        with pytest.raises(SpoolFault):
            await spools.own.append([named("d")])
        free[0] = 10**12
        await spools.own.append([named("d")])
        assert spools.own.refusal is None


async def test_a_spool_that_is_full_says_so_until_it_is_emptied(tmp_path: Path) -> None:
    async with opened(tmp_path, max_bytes=MIB) as spools:
        await fill(spools.own, SpoolFull)
        await spools.own.probe()
        assert isinstance(spools.own.refusal, SpoolFull)
        await spools.own.remove([each.id for each in await spools.own.oldest(10**9)])
        await spools.own.probe()
        assert spools.own.refusal is None


async def test_one_that_is_too_large_counts_until_another_is_taken(tmp_path: Path) -> None:
    async with opened(tmp_path, max_bytes=MIB) as spools:
        with pytest.raises(SpoolFull):
            await spools.own.append([named("large", 80_000)])
        await spools.own.probe()
        assert isinstance(spools.own.refusal, SpoolFull)
        await spools.own.append([named("small")])
        assert spools.own.refusal is None


async def test_one_that_is_too_large_counts_for_a_while_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(tmp_path, max_bytes=MIB) as spools:
        with pytest.raises(SpoolFull):
            await spools.own.append([named("large", 80_000)])
        monkeypatch.setattr(spool, "LARGE_SECS", 0.0)
        await spools.own.probe()
        assert spools.own.refusal is None


async def test_a_quota_that_no_free_space_tells_of_is_met(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    over = OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    def refuse(*_: object) -> None:
        raise over

    async with opened(tmp_path) as spools:
        spools.own.refusal = SpoolFault()
        monkeypatch.setattr(os, "posix_fallocate", refuse)
        await spools.own.probe()
        assert isinstance(spools.own.refusal, SpoolFault)
        assert os.strerror(errno.EDQUOT) in spools.own.refusal.message
        monkeypatch.undo()
        await spools.own.probe()
        assert spools.own.refusal is None


async def test_of_appends_written_together_those_are_taken_that_the_disk_has_room_for(
    tmp_path: Path, free: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk with room for some of them refused them all, for as long as they came together."""
    async with opened(tmp_path) as spools:
        records = [[Record(bytes(1000), 1, 1)] for _ in range(10)]
        free[0] = 9000
        verdicts = await spools.own.in_thread(spools.own._file.append, records, 1)
        assert verdicts == ["kept"] * 4 + ["disk"] * 6
        await spools.own.in_thread(spools.own._file.remove, [1, 2, 3, 4])
        await spools.own.append(many(3))
        assert await devices_in(spools.own) == names(3)
