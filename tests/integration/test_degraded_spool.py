"""A spool that can take nothing while the database is away: /readyz is 503 at once, and 200 again when it can."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from msgspec.structs import replace

from gateway.core.settings import SpoolSettings
from gateway.ingest.spool import file
from tests.builders.small_disk import MIB, small_disk
from tests.integration.whole_gateway import Whole, settings_of, whole
from tests.servers.postgres import DatabaseServer

__all__ = ["small_disk"]
SOON = 30.0


class Away(NamedTuple):
    """A gateway whose database is gone."""

    gateway: Whole
    database: DatabaseServer
    folder: Path

    async def post(self, number: int, *, messages: int = 1, text: str = "") -> str:
        """Return where it is safe, or the code of the refusal."""
        ts = [1_732_277_000_000 + number * 10_000_000 + n for n in range(messages)]
        values: list[float | str] = [text or n + 0.5 for n in range(messages)]
        body = {"device": "d1", "ts": ts, "values": {"note" if text else "t": values}}
        got = await self.gateway.client.post("/v1/readings", json=body)
        assert got.status_code in (200, 503), got.text
        return str(got.json()["durability" if got.status_code == 200 else "code"])

    async def fill(self, *, messages: int) -> str:
        """Post until nothing is taken; return why."""
        for number in range(1, 1000):
            if (told := await self.post(number, messages=messages)) != "spool":
                return told
        pytest.fail("it has no end")

    async def readyz(self) -> tuple[int, dict[str, Any]]:
        got = await self.gateway.client.get("/readyz")
        return got.status_code, got.json()

    async def is_unready(self) -> dict[str, Any]:
        """Look once: it must not take any time."""
        status, found = await self.readyz()
        assert (status, found["status"]) == (503, "unready")
        assert not found["parts"]["spool"]["ok"]
        assert {"database", "spool"} <= {each["part"] for each in found["degraded"]}
        return found

    async def stays_unready(self) -> None:
        """Look for longer than the drainer takes to open the file again."""
        for _ in range(25):
            await self.is_unready()
            await asyncio.sleep(0.1)

    async def until_ready(self) -> None:
        async with asyncio.timeout(SOON):
            while (await self.readyz())[0] != 200:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.05)

    async def until_stored(self) -> None:
        async with asyncio.timeout(SOON):
            while await self.post(0) != "db":  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.05)


async def _away(database: DatabaseServer, valkey: str, folder: Path, *, max_bytes: int = 2**30) -> AsyncIterator[Away]:
    settings = settings_of(database.url(), valkey, folder, unknown="auto")
    settings = replace(settings, spool=SpoolSettings(dir=str(folder), max_bytes=max_bytes))
    async with whole(settings) as gateway:
        away = Away(gateway, database, folder)
        assert await away.post(0) == "db"
        database.kill()
        yield away


@pytest.fixture
async def on_a_small_disk(own_timescale: DatabaseServer, valkey: str, small_disk: Path) -> AsyncIterator[Away]:
    async for away in _away(own_timescale, valkey, small_disk / "spool"):
        yield away


async def test_a_full_disk(on_a_small_disk: Away, monkeypatch: pytest.MonkeyPatch) -> None:
    away = on_a_small_disk
    ballast = away.folder.parent / "ballast"
    ballast.write_bytes(b"x" * 20 * MIB)
    assert await away.post(1) == "spool_fault"
    assert "disk is full" in str((await away.is_unready())["degraded"])
    ballast.unlink()
    await away.until_ready()
    # A disk that has room, and less than each body needs; it is kept in parts of 5,000 messages.
    ballast.write_bytes(b"x" * 4 * MIB)
    assert await away.post(2, messages=5000, text="x" * 1000) == "spool_fault"
    await away.is_unready()
    assert await away.post(1) == "spool"
    await away.until_ready()
    # What comes together is refused only as far as it does not fit.
    told = await asyncio.gather(*[away.post(number, messages=5000) for number in range(2, 42)])
    assert {"spool", "spool_fault"} == set(told)
    await away.is_unready()
    # A disk that says it has room and has none, as one with a quota does.
    monkeypatch.setattr(file, "FREE_BYTES", -(2**40))
    ballast.write_bytes(b"x" * 16 * MIB)
    assert await away.fill(messages=5000) == "spool_fault"
    assert "disk is full" in str((await away.is_unready())["degraded"])
    await away.stays_unready()
    ballast.unlink()
    await away.until_ready()
    assert await away.post(0) == "spool"
    away.database.start()
    await away.until_stored()


async def test_a_spool_that_holds_all_it_may(own_timescale: DatabaseServer, valkey: str, tmp_path: Path) -> None:
    async for away in _away(own_timescale, valkey, tmp_path, max_bytes=MIB):
        assert await away.fill(messages=5000) == "spool_full"
        found = await away.is_unready()
        assert "The spool is full" in str(found["degraded"])
        own_timescale.start()
        await away.until_ready()
        await away.until_stored()
