"""The migration runner against real servers: each file once, whole or not at all, never on a stranger's."""

import asyncio
import shutil
from pathlib import Path

import asyncpg
import pytest

from gateway.app.dev_servers.ports import free_port
from gateway.core.errors import MigrationError, SettingsError, SinkFault, SinkUnavailable
from gateway.timescale.migrations import LOCK_KEY, MigrationStep, database_kind, migrate
from gateway.timescale.queries import sql_dir
from tests.servers.databases import Database, Databases

HOURS = 24


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the real migrations, to change."""
    return Path(shutil.copytree(sql_dir() / "migrations", tmp_path / "migrations"))


def add(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text, encoding="utf-8")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.sql"))


def count(folder: Path) -> int:
    return len(names(folder))


async def fetchval(url: str, statement: str, *arguments: object) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement, *arguments)
    finally:
        await connection.close()


async def tables(url: str) -> set[str]:
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch("select tablename from pg_tables where schemaname = 'public'")
        return {row["tablename"] for row in rows}
    finally:
        await connection.close()


async def test_every_file_once_and_then_nothing(empty_database: Database, folder: Path) -> None:
    first = await migrate(empty_database.url, chunk_hours=HOURS)
    assert [step.version for step in first] == list(range(1, count(folder) + 1))
    assert all(step.took_ms is not None for step in first)
    assert await migrate(empty_database.url, chunk_hours=HOURS) == []
    assert {"messages", "devices", "credentials", "schema_migration"} <= await tables(empty_database.url)


async def test_five_at_once_apply_each_file_once(empty_database: Database, folder: Path) -> None:
    runs = await asyncio.gather(*(migrate(empty_database.url, chunk_hours=HOURS) for _ in range(5)))
    applied = sorted(step.version for run in runs for step in run)
    assert applied == list(range(1, count(folder) + 1))
    assert await fetchval(empty_database.url, "select count(*) from schema_migration") == count(folder)


async def test_plan_names_what_is_pending_and_changes_nothing(empty_database: Database, folder: Path) -> None:
    planned = await migrate(empty_database.url, chunk_hours=HOURS, plan_only=True)
    assert planned[0] == MigrationStep(1, "schema", None)
    assert len(planned) == count(folder)
    assert await tables(empty_database.url) == set()


async def test_plan_of_a_migrated_database_is_empty(database: Database) -> None:
    assert await migrate(database.url, chunk_hours=HOURS, plan_only=True) == []


async def test_a_new_file_is_applied_on_top(database: Database, folder: Path) -> None:
    number = count(folder) + 1
    add(folder, f"{number:04}_note.sql", "create table note (hours int not null default {chunk_hours});")
    [step] = await migrate(database.url, chunk_hours=7, directory=folder)
    assert (step.version, step.name) == (number, "note")
    assert await fetchval(database.url, "insert into note default values returning hours") == 7


async def test_a_changed_file_is_refused(database: Database, folder: Path) -> None:
    with (folder / "0001_schema.sql").open("a", encoding="utf-8") as file:
        file.write("-- changed\n")
    with pytest.raises(MigrationError, match=r"0001_schema .* must not change"):
        await migrate(database.url, chunk_hours=HOURS, directory=folder)


async def test_another_chunk_size_is_no_change(database: Database) -> None:
    assert await migrate(database.url, chunk_hours=HOURS + 1) == []


async def test_a_newer_database_is_refused(database: Database, folder: Path) -> None:
    last = names(folder)[-1]
    (folder / last).unlink()
    with pytest.raises(
        MigrationError, match=f"newer than this program.*{last.removesuffix('.sql')}.*start the newer program"
    ):
        await migrate(database.url, chunk_hours=HOURS, directory=folder)


async def test_a_failing_file_leaves_nothing(empty_database: Database, tmp_path: Path) -> None:
    add(tmp_path, "0001_good.sql", "create table good (n int);")
    add(tmp_path, "0002_bad.sql", "create table half (n int); insert into nowhere values (1);")
    with pytest.raises(MigrationError, match=r'0002_bad failed.*"nowhere" does not exist \(42P01\)'):
        await migrate(empty_database.url, chunk_hours=HOURS, directory=tmp_path)
    assert await tables(empty_database.url) == {"good", "schema_migration"}
    assert await fetchval(empty_database.url, "select max(version) from schema_migration") == 1
    add(tmp_path, "0002_bad.sql", "create table half (n int);")
    assert [step.version for step in await migrate(empty_database.url, chunk_hours=HOURS, directory=tmp_path)] == [2]


async def test_a_first_file_that_fails_leaves_not_even_the_runners_table(
    empty_database: Database, tmp_path: Path
) -> None:
    add(tmp_path, "0001_bad.sql", "create table half (n int); select 1 / 0;")
    with pytest.raises(MigrationError, match="division by zero"):
        await migrate(empty_database.url, chunk_hours=HOURS, directory=tmp_path)
    assert await tables(empty_database.url) == set()


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["0001_a.sql", "0003_c.sql"], "without gaps"),
        (["0001_a.sql", "0001_b.sql"], "without gaps"),
        (["0001_a.sql", "2_b.sql"], "2_b.sql is not named like a migration"),
    ],
)
async def test_odd_folders_are_refused_before_connecting(tmp_path: Path, files: list[str], message: str) -> None:
    for name in files:
        add(tmp_path, name, "select 1;")
    with pytest.raises(MigrationError, match=message):
        await migrate("postgresql://127.0.0.1:1/none", chunk_hours=HOURS, directory=tmp_path)


async def test_waiting_for_another_runner_has_an_end(plain_databases: Databases) -> None:
    async with plain_databases.empty() as database:
        holder = await asyncpg.connect(database.url)
        await holder.execute("select pg_advisory_lock($1)", LOCK_KEY)
        with pytest.raises(MigrationError, match="another process"):
            await migrate(database.url, chunk_hours=HOURS, lock_timeout=0.2)
        await holder.close()
        assert await tables(database.url) == set()


async def test_a_role_without_rights_is_told_so(empty_database: Database) -> None:
    owner = await asyncpg.connect(empty_database.url)
    await owner.execute("create role stranger login password 'geheim'")
    try:
        url = _as_role(empty_database.url, "stranger", "geheim")
        with pytest.raises(MigrationError, match=r"0001_schema .*lacks a right.*permission denied"):
            await migrate(url, chunk_hours=HOURS)
    finally:
        await owner.execute("drop role stranger")
        await owner.close()


async def test_a_role_that_may_not_create_the_extension_is_told_so(timescale_databases: Databases) -> None:
    async with timescale_databases.empty() as database:
        owner = await asyncpg.connect(database.url)
        await owner.execute("create role tenant login password 'geheim'; grant create on schema public to tenant")
        try:
            url = _as_role(database.url, "tenant", "geheim")
            with pytest.raises(MigrationError, match=r"lacks a right.*superuser create the extension timescaledb"):
                await migrate(url, chunk_hours=HOURS)
        finally:
            await owner.execute("drop owned by tenant; drop role tenant")
            await owner.close()


def _as_role(url: str, name: str, password: str) -> str:
    """The same database as another role; over a socket the server trusts whoever gets there."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{name}:{password}@{rest.partition('@')[2]}"


async def test_a_database_that_is_away_can_be_tried_later() -> None:
    with pytest.raises(SinkUnavailable):
        await migrate(f"postgresql://postgres@127.0.0.1:{free_port()}/postgres", chunk_hours=HOURS)


async def test_a_database_that_does_not_exist_is_a_standing_fault(empty_database: Database) -> None:
    with pytest.raises(SinkFault):
        await migrate(empty_database.url.replace("/test_", "/no_such_"), chunk_hours=HOURS)


@pytest.mark.parametrize("url", ["http://127.0.0.1/x", "postgresql://u:hunter2/geheim@127.0.0.1:1/x"])
async def test_a_url_that_cannot_be_meant_is_refused_without_quoting_the_password(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        await migrate(url, chunk_hours=HOURS)
    assert "hunter2" not in f"{caught.value} {caught.value.__cause__}"


async def test_the_ground_is_recognised(database: Database) -> None:
    connection = await asyncpg.connect(database.url)
    try:
        found = await database_kind(connection)
        hypertables = await _hypertables(connection)
    finally:
        await connection.close()
    if database.kind == "plain":
        assert (found.kind, found.timescale, hypertables) == ("postgresql", None, 0)
    else:
        assert found.kind in ("timescaledb-apache", "timescaledb-community")
        assert found.timescale is not None
        assert hypertables == 1
    assert found.postgres[0].isdigit()


async def _hypertables(connection: "asyncpg.Connection[asyncpg.Record]") -> object:
    if await connection.fetchval("select to_regclass('timescaledb_information.hypertables')") is None:
        return 0
    return await connection.fetchval("select count(*) from timescaledb_information.hypertables")


async def test_chunks_span_what_the_setting_says(timescale_databases: Databases) -> None:
    async with timescale_databases.empty() as database:
        await migrate(database.url, chunk_hours=6)
        span = "select time_interval::text from timescaledb_information.dimensions"
        assert await fetchval(database.url, span) == "06:00:00"
