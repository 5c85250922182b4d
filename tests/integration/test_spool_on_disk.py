"""The spool on a disk that is full, and after the process that wrote it was killed."""

import asyncio
import re
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from gateway.core.errors import SpoolFault
from gateway.ingest.spool import file
from tests.builders.small_disk import small_disk
from tests.builders.spooled import devices_in, fill, named, names, opened

__all__ = ["small_disk"]
SOON = 30.0


async def test_a_disk_is_not_filled_to_the_last_byte(small_disk: Path) -> None:
    async with opened(small_disk / "spool") as spools:
        taken = await fill(spools.own, SpoolFault, messages=5000)
        assert taken > 10
        assert await devices_in(spools.own) == names(taken)
        await spools.own.remove([each.id for each in await spools.own.oldest(10**6)])
        await spools.own.append([named("next")])
        assert await devices_in(spools.own) == ["next"]


async def test_a_disk_that_others_fill_loses_nothing(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file, "FREE_BYTES", -(2**40))  # as if the space went between the look and the write
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 18 * 2**20)
    async with opened(small_disk / "spool") as spools:
        taken = await fill(spools.own, SpoolFault, messages=2000)
        with pytest.raises(SpoolFault, match="full"):
            await spools.own.append([named("x", 20_000)])
        assert await devices_in(spools.own) == names(taken)
        ballast.unlink()
        await spools.own.append([named("next")])
        assert await devices_in(spools.own) == [*names(taken), "next"]
    async with opened(small_disk / "spool") as spools:
        assert await devices_in(spools.own) == [*names(taken), "next"]


async def test_what_a_killed_process_had_acknowledged_is_found(tmp_path: Path) -> None:
    command = ["-m", "tests.property.spool_writer", str(tmp_path), "killed", "0"]
    async with asyncio.timeout(SOON), opened(tmp_path, "a") as spools:
        writer = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=PIPE)
        assert writer.stdout
        try:
            said = [await writer.stdout.readline() for _ in range(20)]
            assert [spool.name for spool in await spools.refresh()] == ["a.db"], "it lives"
        finally:
            writer.kill()
        said += (await writer.stdout.read()).splitlines(keepends=True)
        await writer.wait()
        taken, _ = await spools.refresh()
        assert taken.name == "killed.db"
        assert taken.rows >= len([line for line in said if re.fullmatch(rb"kept \d+\n", line)]) > 0
