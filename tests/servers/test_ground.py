"""The ground itself: what it promises to every other test."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest
import redis.asyncio

from gateway.app.dev_servers.child_process import children_of, running
from gateway.app.dev_servers.valkey import ValkeyServer
from tests.servers.databases import Database
from tests.servers.folders import scratch, sweep
from tests.servers.mosquitto import Limits, Mosquitto
from tests.servers.postgres import DatabaseServer, GivenServer

_START_SECS = 60.0


def eventually(condition: Callable[[], bool], *, timeout: float = 20.0) -> bool:
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


async def test_each_test_has_a_migrated_database_of_its_own(database: Database) -> None:
    connection = await asyncpg.connect(database.url)
    try:
        assert await connection.fetchval("select count(*) from messages") == 0
        extensions = {row["extname"] for row in await connection.fetch("select extname from pg_extension")}
        assert ("timescaledb" in extensions) == (database.kind == "timescale")
        await connection.execute("create table trace ()")
    finally:
        await connection.close()


async def test_nothing_of_another_test_is_in_it(database: Database) -> None:
    connection = await asyncpg.connect(database.url)
    try:
        assert await connection.fetchval("select to_regclass('trace')") is None
    finally:
        await connection.close()


async def test_an_empty_database_has_no_schema(empty_database: Database) -> None:
    connection = await asyncpg.connect(empty_database.url)
    try:
        assert await connection.fetchval("select to_regclass('messages')") is None
    finally:
        await connection.close()


async def test_a_committed_row_survives_a_killed_server(own_timescale: DatabaseServer) -> None:
    connection = await asyncpg.connect(own_timescale.url())
    await connection.execute("create table kept as select 42 as answer")
    own_timescale.kill()
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await connection.fetchval("select 1")
    with pytest.raises(OSError, match=r".*"):
        await asyncpg.connect(own_timescale.url())

    own_timescale.start()

    connection = await asyncpg.connect(own_timescale.url())
    try:
        assert await connection.fetchval("select answer from kept") == 42
    finally:
        await connection.close()


async def test_durability_is_on(own_timescale: DatabaseServer) -> None:
    connection = await asyncpg.connect(own_timescale.url())
    try:
        assert await connection.fetchval("show fsync") == "on"
        assert await connection.fetchval("show synchronous_commit") == "on"
    finally:
        await connection.close()


async def test_valkey_is_empty_and_forgets_only_what_it_did_not_save(own_valkey: ValkeyServer) -> None:
    async with redis.asyncio.from_url(own_valkey.url()) as client:
        assert await client.dbsize() == 0
        await client.set("saved", "1")
    own_valkey.stop()
    own_valkey.start()
    async with redis.asyncio.from_url(own_valkey.url()) as client:
        assert await client.get("saved") == b"1"
        await client.set("unsaved", "1")
    own_valkey.kill()
    own_valkey.start()
    async with redis.asyncio.from_url(own_valkey.url()) as client:
        assert await client.keys("*") == [b"saved"]


def test_mosquitto_takes_the_limits_it_is_given(start_mosquitto: Callable[[Limits], Mosquitto]) -> None:
    broker = start_mosquitto(Limits(max_inflight_messages=7, max_queued_messages=11, persistence=False))
    config = (broker.data / "mosquitto.conf").read_text().splitlines()
    assert {"max_inflight_messages 7", "max_queued_messages 11", "persistence false"} <= set(config)
    broker.kill()
    broker.start()
    broker.restart()


def test_a_given_server_keeps_its_options() -> None:
    server = GivenServer("postgresql://me:secret@db:5433/main?sslmode=require")
    assert server.url() == "postgresql://me:secret@db:5433/main?sslmode=require"
    assert server.url("other") == "postgresql://me:secret@db:5433/other?sslmode=require"


def test_a_scratch_folder_is_swept_only_when_nobody_holds_it(tmp_path: Path) -> None:
    left = tmp_path / "ground-left"
    left.mkdir()
    (left / "file").touch()
    with scratch(tmp_path) as held:
        assert not left.exists()
        sweep(tmp_path)
        assert held.exists()
    assert not held.exists()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_up_prints_urls_and_leaves_no_process(how: signal.Signals, tmp_path: Path, valkey_server: ValkeyServer) -> None:
    del valkey_server  # only so that a root to be made is made before this test's clock starts
    out = tmp_path / "out"
    with out.open("wb") as stdout, (tmp_path / "err").open("wb") as stderr:
        process = subprocess.Popen([sys.executable, "-m", "tests.servers", "up"], stdout=stdout, stderr=stderr)
    try:
        ready = eventually(
            lambda: "GATEWAY_MQTT__URL=" in out.read_text() or process.poll() is not None, timeout=_START_SECS
        )
        assert ready
        if process.poll() is not None and "no TimescaleDB" in (tmp_path / "err").read_text():
            pytest.skip((tmp_path / "err").read_text())
        assert process.poll() is None, (tmp_path / "err").read_text()
        assert [line.partition("=")[0] for line in out.read_text().splitlines()] == [
            "GATEWAY_DATABASE__URL",
            "GATEWAY_REDIS__URL",
            "GATEWAY_MQTT__URL",
        ]
        servers = children_of(process.pid)
        assert servers
        os.kill(process.pid, how)
        assert process.wait(20) == (-signal.SIGKILL if how == signal.SIGKILL else 0)
        assert eventually(lambda: not any(map(running, servers)))
    finally:
        process.kill()
        process.wait(10)
