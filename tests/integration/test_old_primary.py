"""A whole gateway through a lossy failover, and with the old primary back: nothing under a wrong name, nothing lost."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio

from gateway.app.cli.doctor import examine
from gateway.app.dev_servers.postgres import PostgresServer
from gateway.app.lineage import accept, migrate_schema
from gateway.core.errors import SinkUnavailable
from gateway.core.settings import Settings
from gateway.timescale.connections.lineage import OldPrimary
from gateway.timescale.migrations import migrate
from tests.integration.whole_gateway import Whole, settings_of, whole
from tests.integration.writing import SOON, fetch
from tests.servers import replicas
from tests.servers.postgres import DatabaseServer

SEEN = "select device, metric, value from readings order by device, metric"


@pytest.fixture
async def pair(own_timescale: DatabaseServer) -> AsyncIterator[tuple[PostgresServer, PostgresServer]]:
    """A migrated primary, and a standby that follows it asynchronously."""
    primary = replicas.ours(own_timescale)
    await migrate(primary.url(), chunk_hours=24)
    with replicas.base_backup(primary, "standby", follows=True) as standby:
        yield primary, standby


async def test_a_lossy_failover_and_the_old_primary_come_back(
    pair: tuple[PostgresServer, PostgresServer], valkey: str, tmp_path: Path
) -> None:
    primary, standby = pair
    settings = settings_of(replicas.urls(primary, standby), valkey, tmp_path, unknown="auto")
    async with whole(settings) as gateway:
        await _post(gateway, "kept", 2)
        await replicas.caught_up(primary, standby)
        await replicas.cut_off(standby)
        await _post(gateway, "lost", 3)
        assert await _shown(gateway, "lost-2") == {"lost_2": 2.0}
        primary.kill()
        await replicas.promote(standby)
        async with whole(settings_of(standby.url(), valkey, tmp_path, unknown="auto")) as other:
            await _post(other, "theirs", 3)
            await _post(gateway, "lost", 4, plus=10)
            await _stored(standby, 2 + 3 + 4)
            for one in (gateway, other):
                assert await _shown(one, "lost-2") == {"lost_2": 12.0}
                assert await _shown(one, "theirs-0") == {"theirs_0": 0.0}
                assert await _shown(one, "kept-1") == {"kept_1": 1.0}
    primary.start()
    async with redis.asyncio.from_url(valkey) as client:
        await client.flushall()  # the disk alone remembers
    before = await fetch(primary.url(), SEEN)
    settings = settings_of(primary.url(), valkey, tmp_path, unknown="auto")
    async with whole(settings) as gateway:
        assert await _post(gateway, "late", 2) == {"spool"}
        ready = (await gateway.client.get("/readyz")).json()
        assert ready["parts"]["database"]["ok"] is False
        assert "timeline 1, but timeline 2" in ready["parts"]["database"]["error"]
        await _refused(settings)
        assert await fetch(primary.url(), SEEN) == before
    async with whole(settings_of(standby.url(), valkey, tmp_path, unknown="auto")):
        await _stored(standby, 2 + 3 + 4 + 2)
    expected = [("kept", 2, 0), ("late", 2, 0), ("lost", 4, 10), ("theirs", 3, 0)]
    assert await fetch(standby.url(), SEEN) == [
        (f"{prefix}-{i}", f"{prefix}_{i}", i + plus) for prefix, count, plus in expected for i in range(count)
    ]


async def test_an_old_primary_that_is_the_first_of_several_hosts_is_passed_over(
    pair: tuple[PostgresServer, PostgresServer], valkey: str, tmp_path: Path
) -> None:
    primary, standby = pair
    await replicas.caught_up(primary, standby)
    await replicas.promote(standby)
    async with whole(settings_of(standby.url(), valkey, tmp_path, unknown="auto")) as gateway:
        assert await _post(gateway, "first", 1) == {"db"}
    async with whole(settings_of(replicas.urls(primary, standby), valkey, tmp_path, unknown="auto")) as gateway:
        assert await _post(gateway, "second", 2) == {"db"}
    assert await fetch(primary.url(), "select count(*) from messages") == [(0,)]
    assert await fetch(standby.url(), "select count(*) from messages") == [(3,)]


async def test_an_old_primary_is_left_as_soon_as_anybody_has_seen_the_new_one(
    pair: tuple[PostgresServer, PostgresServer], valkey: str, tmp_path: Path
) -> None:
    """It lives, its connections are open, and it was never fenced; Redis tells, from another host."""
    primary, standby = pair
    settings = settings_of(primary.url(), valkey, tmp_path / "here", unknown="auto")
    async with whole(settings) as gateway:
        assert await _post(gateway, "first", 1) == {"db"}
        await replicas.caught_up(primary, standby)
        await replicas.promote(standby)
        async with whole(settings_of(standby.url(), valkey, tmp_path / "there", unknown="auto")) as other:
            assert await _post(other, "second", 1) == {"db"}
            async with asyncio.timeout(SOON):
                while (await gateway.client.get("/readyz")).json()["parts"]["database"]["ok"]:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
        assert await _post(gateway, "third", 2) == {"spool"}
        assert await fetch(primary.url(), "select count(*) from messages") == [(1,)]
        await accept(settings)
        await _stored(primary, 3)
        assert await _post(gateway, "fourth", 1) == {"db"}


async def _post(gateway: Whole, prefix: str, count: int, *, plus: int = 0) -> set[str]:
    """Post a reading of each of so many devices and metrics; return where they were made durable."""
    where = set()
    for i in range(count):
        reading = {"device": f"{prefix}-{i}", "ts": 1_700_000_000 + plus, "values": {f"{prefix}_{i}": float(i + plus)}}
        where.add((await gateway.json("POST", "/v1/readings", json=reading))["durability"])
    return where


async def _shown(gateway: Whole, device: str) -> dict[str, Any]:
    """The newest state of a device, once there is one."""
    async with asyncio.timeout(SOON):
        while True:
            got = await gateway.client.get(f"/v1/devices/{device}/state")
            if got.status_code == 200 and got.json()["metrics"]:
                return {name: metric["value"] for name, metric in got.json()["metrics"].items()}
            await asyncio.sleep(0.05)


async def _stored(server: PostgresServer, count: int) -> None:
    async with asyncio.timeout(SOON):
        while await fetch(server.url(), "select count(*) from messages") != [(count,)]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def _refused(settings: Settings) -> None:
    """Commands do not believe it either."""
    with pytest.raises(SinkUnavailable) as refused:
        await migrate_schema(settings)
    assert isinstance(refused.value.__cause__, OldPrimary)
    findings = [finding for finding in await examine(settings) if finding.part == "database"]
    assert [finding.ok for finding in findings] == [False]
    assert "it is an old primary" in findings[0].sentence
