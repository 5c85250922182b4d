"""Behind a real PgBouncer: in session mode everything works, in the others one sentence is said, everywhere."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import pytest

from gateway.app.cli.doctor import examine
from gateway.app.cli.doctor_servers import connections_of
from gateway.app.cli.start import start
from gateway.core.errors import SinkFault, SinkUnavailable
from gateway.core.settings import DatabaseSettings, RedisSettings, Settings
from gateway.timescale.connections import pooler
from gateway.timescale.connections.pool import open_pool
from gateway.timescale.migrations import migrate
from gateway.timescale.registry.devices import DeviceRegistry
from tests.integration.whole_gateway import Whole, settings_of, whole
from tests.servers.databases import Database
from tests.servers.errors import NoGroundError
from tests.servers.pgbouncer import Mode, PgBouncer, pgbouncer
from tests.servers.postgres import DatabaseServer

SENTENCE = "needs sessions of its own: let database.url lead to the server itself, or set pool_mode=session"
Start = Callable[..., PgBouncer]


@pytest.fixture(autouse=True)
def _forget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pooler, "_trusted", {})


@pytest.fixture
def start_pgbouncer(timescale_server: DatabaseServer) -> Iterator[Start]:
    """Start a pooler in front of the session's TimescaleDB."""
    with ExitStack() as stack:

        def begin(mode: Mode, **options: Any) -> PgBouncer:
            found: AbstractContextManager[PgBouncer] = pgbouncer(timescale_server, mode, **options)
            try:
                return stack.enter_context(found)
            except NoGroundError as error:
                pytest.skip(str(error))

        yield begin


def through(one: PgBouncer, database: Database) -> str:
    return one.url(database.url.rpartition("/")[2])


def settings_for(url: str, *, connect_timeout_secs: float = 5.0) -> Settings:
    database = DatabaseSettings(url=url, connect_timeout_secs=connect_timeout_secs)
    return Settings(database=database, redis=RedisSettings(url="redis://127.0.0.1:1"))


@pytest.mark.parametrize("in_turn", [False, True])
@pytest.mark.parametrize(
    ("mode", "size"), [("transaction", 1), ("transaction", 2), ("transaction", 20), ("statement", 20)]
)
async def test_shared_sessions_are_found_on_any_connection(
    start_pgbouncer: Start, timescale_db: Database, mode: Mode, size: int, in_turn: bool
) -> None:
    url = through(start_pgbouncer(mode, pool_size=size, in_turn=in_turn), timescale_db)
    with pytest.raises(SinkFault, match=SENTENCE):
        await migrate(url, chunk_hours=24)
    async with open_pool(url, name="test", size=2, connect_timeout=10, command_timeout=10) as pool:
        if size > 2:  # with fewer they would wait for each other
            await asyncio.gather(*(_warm(url) for _ in range(3)))  # the pooler has servers to choose from
        with pytest.raises(SinkFault, match=SENTENCE):
            await DeviceRegistry(pool).page()
    findings = [one for one in await examine(settings_for(url)) if one.part == "database"]
    assert [(one.ok, SENTENCE in one.sentence) for one in findings] == [(False, True)]


async def _warm(url: str) -> None:
    with contextlib.suppress(SinkFault):
        await migrate(url, chunk_hours=24)


def test_the_start_is_refused_with_the_sentence(start_pgbouncer: Start, timescale_db: Database) -> None:
    with pytest.raises(SinkFault, match=SENTENCE):
        start(settings_for(through(start_pgbouncer("transaction"), timescale_db)))


async def test_in_session_mode_everything_works(
    start_pgbouncer: Start, timescale_db: Database, valkey: str, tmp_path: Path
) -> None:
    """And after a change of the mode while it runs, `/readyz` says the sentence."""
    one = start_pgbouncer("session")
    settings = settings_of(through(one, timescale_db), valkey, tmp_path, unknown="auto")
    async with whole(settings) as gateway:
        assert await _post(gateway, 1.5) == "db"
        assert await _post(gateway, 1.5) == "db", "also what is there already, which goes through a temporary table"
        stored = await gateway.json("GET", "/v1/devices/d1/readings?from=2026-01-01T00:00:00Z")
        assert len(stored["readings"]) == 1
        one.mode = "transaction"
        one.restart()
        pooler._trusted.clear()  # as it is a second later
        async with asyncio.timeout(60):
            while SENTENCE not in str(await _database(gateway)):
                await gateway.client.post("/v1/readings", json=body_of(2.5))
        one.mode = "session"
        one.restart()
        async with asyncio.timeout(60):
            while not (await _database(gateway))["ok"]:  # noqa: ASYNC110 -- it is asked, and tells nobody
                await asyncio.sleep(0.05)
        assert await _post(gateway, 4.5) == "db"


def body_of(value: float) -> dict[str, object]:
    return {"device": "d1", "ts": f"2026-01-01T00:00:0{value}Z", "values": {"a": value}}


async def _post(gateway: Whole, value: float) -> object:
    return (await gateway.json("POST", "/v1/readings", json=body_of(value)))["durability"]


async def _database(gateway: Whole) -> dict[str, object]:
    parts: dict[str, dict[str, object]] = (await gateway.client.get("/readyz")).json()["parts"]
    return parts["database"]


async def test_one_connection_for_all_is_said_to_be_too_few(start_pgbouncer: Start, timescale_db: Database) -> None:
    url = through(start_pgbouncer("session", pool_size=1), timescale_db)
    with pytest.raises(SinkUnavailable) as caught:
        await migrate(url, chunk_hours=24, connect_timeout=2)
    assert "raise its default_pool_size" in str(caught.value.__cause__)
    (finding,) = [one for one in await examine(settings_for(url, connect_timeout_secs=2)) if one.part == "database"]
    assert "raise its default_pool_size" in finding.sentence


@pytest.mark.parametrize("lacking", [0, 3])
async def test_doctor_counts_the_connections_that_are_needed(
    start_pgbouncer: Start, timescale_db: Database, lacking: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.app.cli.doctor_servers.ROOM_SECS", 5.0 if not lacking else 1.0)
    settings = settings_for("")
    wanted = connections_of(settings)
    url = through(start_pgbouncer("session", pool_size=wanted - lacking), timescale_db)
    found = [one for one in await examine(settings_for(url)) if "pooler" in one.sentence]
    words = f"gave {wanted - lacking} of the {wanted} connections" if lacking else f"has the {wanted} connections"
    assert [(one.ok, words in one.sentence) for one in found] == [(not lacking, True)]


async def test_a_direct_connection_is_not_taken_for_a_pooler(timescale_db: Database, plain_db: Database) -> None:
    for database in (timescale_db, plain_db):
        async with (
            open_pool(database.url, name="test", size=1, connect_timeout=10, command_timeout=10) as pool,
            pool.connection() as connection,
        ):
            assert not await pooler.is_pooled(connection)
