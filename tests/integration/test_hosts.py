"""Several servers in one URL: none that is frozen, black-holed, resetting or a standby hides the one that is there."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import asyncpg
import pytest

from gateway.app.cli.doctor import examine
from gateway.app.dev_servers.postgres import PostgresServer, Socket
from gateway.core.errors import SinkUnavailable
from gateway.core.settings import DatabaseSettings, RedisSettings, Settings
from gateway.timescale.connections import hosts
from gateway.timescale.connections.hosts import parse_hosts
from gateway.timescale.connections.pool import open_pool
from gateway.timescale.migrations import migrate
from gateway.timescale.registry.devices import DeviceRegistry
from tests.integration.whole_gateway import settings_of, whole
from tests.integration.writing import open_gateway
from tests.servers.databases import Database
from tests.servers.freezing import frozen, main_process
from tests.servers.pairs import as_standby, black_hole, resetting
from tests.servers.postgres import PLAIN_TUNING, plain

TIGHT = 4.0
"""Seconds to connect; a machine that is busy with other tests is slow."""


class Pair(NamedTuple):
    first: PostgresServer
    second: PostgresServer

    @property
    def url(self) -> str:
        folders = ",".join(str(folder(one)) for one in self)
        return f"postgresql://postgres@/postgres?host={folders}"

    def behind(self, *ports: int) -> str:
        """These ports first, then the second server."""
        silent = ",".join("127.0.0.1" for _ in ports)
        numbers = ",".join(map(str, (*ports, 5432)))
        return f"postgresql://postgres@/postgres?host={silent},{folder(self.second)}&port={numbers}"


def folder(server: PostgresServer) -> Path:
    assert isinstance(server.listen, Socket)
    return server.listen.folder


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with plain(PLAIN_TUNING) as first, plain(PLAIN_TUNING) as second:
        for one in (first, second):
            asyncio.run(migrate(one.url(), chunk_hours=24))
        yield Pair(first, second)


@pytest.fixture(autouse=True)
def _forget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "_last", {})


async def server_of(url: str, *, timeout: float = TIGHT) -> Path:
    """Return the folder of the server that a pool reaches."""
    async with (
        open_pool(url, name="test", size=1, connect_timeout=timeout, command_timeout=20) as pool,
        pool.connection() as connection,
    ):
        return Path(await connection.fetchval("show unix_socket_directories"))


async def test_a_frozen_first_server_hides_nothing(pair: Pair) -> None:
    assert await server_of(pair.url) == folder(pair.first)
    with frozen(main_process(pair.first)):
        assert await server_of(pair.url) == folder(pair.second)
        began = time.monotonic()
        assert await server_of(pair.url) == folder(pair.second)
        assert time.monotonic() - began < TIGHT / 2 * hosts.RACE_SHARE, "the frozen one was waited for again"
    assert await server_of(pair.url) == folder(pair.second), "the last good one comes first"


async def test_what_is_connected_to_the_frozen_one_is_not_used_again(pair: Pair) -> None:
    async with (
        open_pool(pair.url, name="test", size=3, connect_timeout=TIGHT, command_timeout=60) as pool,
        open_gateway(pair.url) as gateway,
    ):
        async with (
            pool.connection(),
            pool.connection(),
            pool.connection(),
            gateway.writer._connections.lend(gateway.dictionary.lineage.epoch),
        ):
            pass
        with frozen(main_process(pair.first)):
            assert await server_of(pair.url) == folder(pair.second)
            async with asyncio.timeout(30), pool.connection() as one, pool.connection() as two:
                for connection in (one, two):
                    assert await connection.fetchval("show unix_socket_directories") == str(folder(pair.second))
            await gateway.pool.look()  # the second one is another database: an epoch of its own
            async with asyncio.timeout(30), gateway.writer._connections.lend(gateway.dictionary.lineage.epoch) as own:
                assert await own.fetchval("show unix_socket_directories") == str(folder(pair.second))


async def test_every_way_to_the_server_takes_the_next(pair: Pair) -> None:
    """Migrations, writer, registry: all of them connect."""
    with black_hole() as silent, resetting() as rude:
        url = pair.behind(silent, rude)
        assert await migrate(url, chunk_hours=24, connect_timeout=TIGHT) == []
        async with open_gateway(url) as gateway:
            (outcome,) = (await gateway.write([("d1", 0, {"a": 1.5})])).outcomes
            assert outcome.stored == 1


async def test_a_whole_gateway_works_beside_a_frozen_server(pair: Pair, valkey: str, tmp_path: Path) -> None:
    """Also its history, which is read-only where the URL asks for a session that can be written to."""
    settings = settings_of(f"{pair.url}&target_session_attrs=read-write", valkey, tmp_path, unknown="auto")
    with frozen(main_process(pair.first)):
        async with whole(settings) as gateway:
            receipt = await gateway.json("POST", "/v1/readings", json={"device": "d2", "values": {"a": 1.5}})
            assert receipt["durability"] == "db"
            stored = await gateway.json("GET", "/v1/devices/d2/readings?from=-1h")
            assert len(stored["readings"]) == 1


async def test_a_standby_is_passed_over(pair: Pair) -> None:
    with as_standby(pair.first):
        assert await server_of(pair.url) == folder(pair.second)
        async with open_pool(pair.url, name="test", size=1, connect_timeout=TIGHT, command_timeout=20) as pool:
            await DeviceRegistry(pool).add("written")


async def test_none_of_them_is_told_server_by_server(pair: Pair) -> None:
    with as_standby(pair.first), frozen(main_process(pair.second)), resetting() as rude:
        url = f"{pair.url},127.0.0.1&port=5432,5432,{rude}"
        began = time.monotonic()
        with pytest.raises(SinkUnavailable) as caught:
            await server_of(url, timeout=2)
        assert time.monotonic() - began < 20
        said = str(caught.value.__cause__)
        assert f"{folder(pair.first)}: a standby, or read-only; {folder(pair.second)}: no answer; 127.0.0.1:" in said


async def test_each_address_of_a_name_is_a_server(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    async def two(name: str, port: int, **_: object) -> list[tuple[object, ...]]:
        assert name == "db.example"
        return [(2, 1, 6, "", (address, port)) for address in ("127.0.0.2", "127.0.0.3")]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", two)
    found = await hosts.resolved(parse_hosts("postgresql://u:p@db.example:7/d"))
    assert [str(place) for place in found] == ["127.0.0.2:7", "127.0.0.3:7"]
    kept = await hosts.resolved(parse_hosts("postgresql://u:p@db.example:7/d?sslmode=verify-full"))
    assert [str(place) for place in kept] == ["db.example:7"], "its certificate is asked for by name"


async def test_a_session_that_must_be_writable_is_read_only_for_readers(plain_db: Database) -> None:
    url = f"{plain_db.url}&target_session_attrs=read-write"
    async with open_pool(
        url,
        name="test",
        size=1,
        connect_timeout=20,
        command_timeout=20,
        parameters={"default_transaction_read_only": "on", "statement_timeout": "7000"},
    ) as pool:
        for _ in range(2):  # also after the reset between two uses
            async with pool.connection() as connection:
                assert await connection.fetchval("show timezone") == "UTC"
                assert await connection.fetchval("show statement_timeout") == "7s"
                with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
                    await connection.execute("create table t (n int)")
                await connection.execute("set statement_timeout = 9000; set timezone = 'Asia/Tokyo'")


async def test_doctor_names_every_server(pair: Pair) -> None:
    with as_standby(pair.first), black_hole() as silent:
        url = f"{pair.url},127.0.0.1&port=5432,5432,{silent}"
        settings = Settings(
            database=DatabaseSettings(url=url, connect_timeout_secs=TIGHT),
            redis=RedisSettings(url="redis://127.0.0.1:1"),
        )
        findings = [one for one in await examine(settings) if one.part == "database"]
    said = {one.sentence.partition(": ")[0]: one for one in findings}
    assert "standby" in said[str(folder(pair.first))].sentence
    assert said[str(folder(pair.first))].ok
    assert "primary" in said[str(folder(pair.second))].sentence
    assert not said[f"127.0.0.1:{silent}"].ok
    assert "no answer" in said[f"127.0.0.1:{silent}"].sentence
