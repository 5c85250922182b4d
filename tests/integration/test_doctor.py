"""`gateway doctor`: what it finds is true, and what it advises names the setting to change."""

import re
from pathlib import Path

import asyncpg
import pytest
import redis.asyncio

from gateway.app.cli import doctor
from gateway.app.cli.doctor import Finding, examine
from gateway.app.dev_servers.valkey import ValkeyServer
from gateway.core.settings import DatabaseSettings, MqttSettings, RedisSettings, Settings
from tests.integration.writing import execute
from tests.servers.databases import Database
from tests.servers.roles import plain_role, url_of

NOBODY = "127.0.0.1:1"
"""Where nothing listens."""


def settings_of(database: str, *, redis_url: str = f"redis://{NOBODY}", mqtt: str = "") -> Settings:
    return Settings(
        database=DatabaseSettings(url=database), redis=RedisSettings(url=redis_url), mqtt=MqttSettings(url=mqtt)
    )


async def found(settings: Settings, part: str) -> list[Finding]:
    return [finding for finding in await examine(settings) if finding.part == part]


async def test_all_is_well(own_timescale_db: Database, valkey: str) -> None:
    findings = await examine(settings_of(own_timescale_db.url, redis_url=valkey))
    assert [(finding.part, finding.ok) for finding in findings] == [
        ("database", True),
        ("schema", True),
        ("writing", True),
        ("redis", True),
        ("mqtt", True),
    ]
    assert "TimescaleDB 2." in findings[0].sentence
    assert re.search(r"; a COMMIT takes [0-9]+\.[0-9] ms", findings[0].sentence)


async def test_what_breaks_the_promise_is_named_with_what_to_set(own_timescale_db: Database) -> None:
    connection = await asyncpg.connect(own_timescale_db.url)
    name = await connection.fetchval("select current_database()")
    for setting in ("synchronous_commit to off", "default_transaction_read_only to on"):
        await connection.execute(f'alter database "{name}" set {setting}')
    await connection.close()
    _, *broken = await found(settings_of(own_timescale_db.url), "database")
    assert [finding.ok for finding in broken] == [False, False]
    assert "synchronous_commit is off" in broken[0].sentence
    assert "set it to on" in broken[0].sentence
    assert "connect to the primary" in broken[1].sentence


def test_a_slow_disk_is_told_what_it_costs_and_what_to_do() -> None:
    assert doctor._speed(1.25) == "; a COMMIT takes 1.2 ms"
    assert "put pg_wal on a disk with a fast fsync" in doctor._speed(35.0)


async def test_a_small_redis(timescale_db: Database, own_valkey: ValkeyServer) -> None:
    async with redis.asyncio.from_url(own_valkey.url()) as client:
        settings = settings_of(timescale_db.url, redis_url=own_valkey.url())
        await client.config_set("maxmemory", 64 * 2**20)
        _, answers, log = await found(settings, "redis")
        assert answers.sentence.startswith("its maxmemory lets 8.0 MiB of http.idempotency_bytes (64.0 MiB) be used")
        assert log.sentence.startswith("its maxmemory lets 16.0 MiB of live.replay_bytes (64.0 MiB) be used")
        assert answers.ok
        await client.config_set("maxmemory", 2**30)
        assert len(await found(settings, "redis")) == 1


async def test_an_evicting_redis(timescale_db: Database, own_valkey: ValkeyServer) -> None:
    async with redis.asyncio.from_url(own_valkey.url()) as client:
        await client.config_set("maxmemory-policy", "allkeys-lru")
        (finding,) = await found(settings_of(timescale_db.url, redis_url=own_valkey.url()), "redis")
        assert not finding.ok
        assert "set maxmemory-policy to noeviction" in finding.sentence
        await client.config_set("maxmemory-policy", "volatile-ttl")
        (finding,) = await found(settings_of(timescale_db.url, redis_url=own_valkey.url()), "redis")
    assert finding.ok
    assert "no newest state" in finding.sentence


async def test_servers_that_are_away_are_named_with_the_setting_that_leads_to_them() -> None:
    findings = await examine(settings_of(f"postgresql://u:secret@{NOBODY}/d", mqtt=f"mqtt://{NOBODY}"))
    assert [(finding.part, finding.ok) for finding in findings] == [
        ("database", False),
        ("redis", False),
        ("mqtt", False),
    ]
    for finding in findings:
        assert f"check {finding.part}.url" in finding.sentence
        assert "refused" in finding.sentence or "Connect call failed" in finding.sentence
        assert "secret" not in finding.sentence


async def test_a_refused_login_is_told_in_the_servers_words(timescale_db: Database) -> None:
    head, _, tail = timescale_db.url.rpartition("/")
    (finding,) = await found(settings_of(f"{head}/no_such_{tail}"), "database")
    assert "does not exist" in finding.sentence
    assert "check database.url" in finding.sentence


@pytest.mark.parametrize(
    "url",
    ["nonsense", "http://x:1", "redis://u:sec#ret@h:p/0", "redis://h:secret/0", "redis://h/0?secret=1"],
)
async def test_a_redis_url_that_cannot_be_meant(url: str) -> None:
    settings = settings_of(f"postgresql://{NOBODY}/d", redis_url=url)
    (finding,) = await found(settings, "redis")
    assert all("redis.url" not in each.sentence for each in await found(settings, "database"))
    assert not finding.ok
    assert finding.sentence.startswith("redis.url cannot be read; its form is redis://")
    assert "sec" not in finding.sentence.replace("percent-encoded", "")


async def test_other_urls_that_cannot_be_meant() -> None:
    findings = await examine(settings_of("nonsense", mqtt="nonsense"))
    said = {finding.part: finding.sentence for finding in findings}
    assert "database.url" in said["database"]
    assert "mqtt.url is not a broker's address" in said["mqtt"]
    assert not any(finding.ok for finding in findings)


async def test_a_ca_file_that_is_not_there(tmp_path: Path) -> None:
    mqtt = MqttSettings(url=f"mqtts://{NOBODY}", ca_file=str(tmp_path / "none.pem"))
    settings = Settings(
        database=DatabaseSettings(url=f"postgresql://{NOBODY}/d"),
        redis=RedisSettings(url=f"redis://{NOBODY}"),
        mqtt=mqtt,
    )
    (finding,) = await found(settings, "mqtt")
    assert "mqtt.ca_file" in finding.sentence


async def test_a_right_that_is_missing_is_found_by_writing(timescale_db: Database) -> None:
    async with plain_role(timescale_db.url) as role:
        settings = settings_of(url_of(timescale_db.url, role))
        ((_, ok, words),) = await found(settings, "writing")
        assert (ok, words) == (True, "a reading can be stored (tried, and rolled back)")
        await execute(timescale_db.url, f"revoke insert on messages from {role}")
        ((_, ok, words),) = await found(settings, "writing")
        assert not ok
        assert "permission denied for table messages; grant the user of database.url" in words
        assert "readings go to the spool" in words
