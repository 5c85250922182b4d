"""The migrations. In: sql/migrations/NNNN_name.sql, a database URL. Out: the schema, each file once. Never goes back.

A file and its row in schema_migration are one transaction. Its checksum is taken before {chunk_hours} is filled in, so
that setting may change later. What is applied must be the first files of the folder, unchanged.
"""

import asyncio
import hashlib
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import asyncpg

from gateway.core.errors import MigrationError
from gateway.timescale.connections.connect import connected
from gateway.timescale.connections.hosts import Direct
from gateway.timescale.connections.lineage import Lineage
from gateway.timescale.connections.pool import Connection, classify, translated
from gateway.timescale.queries import query, sql_dir

LOCK_KEY = 0x6465_7669_6365_0001
"""Of pg_try_advisory_lock: whoever holds it in a database migrates that database."""
_LOCK_POLL_SECS = 0.1
_FILE_NAME = re.compile(r"(\d{4})_(\w+)\.sql")
_NO_RIGHTS = "42501"


class MigrationStep(NamedTuple):
    """A migration that is pending (`took_ms` is None) or was applied just now."""

    version: int
    name: str
    took_ms: int | None


class DatabaseKind(NamedTuple):
    """What the database is."""

    kind: Literal["timescaledb-community", "timescaledb-apache", "postgresql"]
    postgres: str
    timescale: str | None


class _File(NamedTuple):
    version: int
    name: str
    sha256: str
    text: str


async def migrate(
    url: str,
    *,
    chunk_hours: int,
    plan_only: bool = False,
    directory: Path | None = None,
    connect_timeout: float = 5.0,
    lock_timeout: float = 60.0,
    file_timeout: float = 600.0,
    lineage: Lineage | None = None,
) -> list[MigrationStep]:
    """Apply what is pending and return it; with `plan_only` change nothing. Timeouts in seconds.

    `lineage` looks first where the connection leads.

    Safe to call from many processes at once. Raises MigrationError, SettingsError, SinkUnavailable, SinkFault.
    """
    files = read_files(directory or sql_dir() / "migrations")
    opened = connected(  # of its own: a pool's reset would drop the lock
        url,
        name="gateway migrate",
        connect_timeout=connect_timeout,
        command_timeout=file_timeout,
        trusting=False,
        lineage=lineage,
    )
    async with translated(), opened as connection:
        pending = await _pending(connection, files)
        if plan_only or not pending:
            return [MigrationStep(file.version, file.name, None) for file in pending]
        await _lock(connection, lock_timeout)
        # Asked again: another process may have applied them while this one waited.
        return [await _apply(connection, file, chunk_hours) for file in await _pending(connection, files)]


async def database_kind(connection: Connection) -> DatabaseKind:
    """Find out what the database is. Raises DATABASE_ERRORS."""
    row = await connection.fetchrow(query("database_kind"))
    assert row is not None  # noqa: S101 -- a select without from always gives a row
    if row["timescale"] is None:
        return DatabaseKind("postgresql", row["postgres"], None)
    kind: Literal["timescaledb-community", "timescaledb-apache"] = (
        "timescaledb-community" if row["licence"] == "timescale" else "timescaledb-apache"
    )
    return DatabaseKind(kind, row["postgres"], row["timescale"])


def read_files(directory: Path) -> list[_File]:
    """Read the migrations in order. Raises MigrationError for odd names and for gaps in the numbers."""
    files = [_read(path) for path in sorted(directory.glob("*.sql"))]
    if [file.version for file in files] != list(range(1, len(files) + 1)):
        names = ", ".join(f"{file.version:04}_{file.name}" for file in files) or "none"
        raise MigrationError(f"the migrations must be numbered 0001, 0002, … without gaps; there are: {names}")
    return files


def _read(path: Path) -> _File:
    match = _FILE_NAME.fullmatch(path.name)
    if match is None:
        raise MigrationError(f"{path.name} is not named like a migration (0001_what_it_does.sql)")
    text = path.read_text(encoding="utf-8")
    return _File(int(match[1]), match[2], hashlib.sha256(text.encode()).hexdigest(), text)


async def _pending(connection: Direct, files: Sequence[_File]) -> Sequence[_File]:
    if not await connection.fetchval(query("has_migration_table")):
        return files
    applied = await connection.fetch(query("applied_migrations"))
    for row, file in zip(applied, files, strict=False):
        if (row["version"], row["sha256"]) != (file.version, file.sha256):
            raise MigrationError(
                f"migration {row['version']:04}_{row['name']} in the database is not the file"
                f" {file.version:04}_{file.name}.sql of this program: a migration that was applied must not change"
            )
    if len(applied) > len(files):
        raise MigrationError(
            f"the database is newer than this program: it has migration {applied[-1]['version']:04}_"
            f"{applied[-1]['name']}, this program ends at {len(files):04}; start the newer program"
        )
    return files[len(applied) :]


async def _lock(connection: Direct, lock_timeout: float) -> None:
    """Held until the connection closes."""
    deadline = time.monotonic() + lock_timeout
    while not await connection.fetchval(query("try_lock"), LOCK_KEY):
        if time.monotonic() > deadline:
            raise MigrationError(
                f"another process has been migrating this database for {lock_timeout:.0f} s; try again when it is done"
            )
        await asyncio.sleep(_LOCK_POLL_SECS)


async def _apply(connection: Direct, file: _File, chunk_hours: int) -> MigrationStep:
    started = time.monotonic()
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute(query("create_migration_table"))
        await connection.execute(file.text.replace("{chunk_hours}", str(int(chunk_hours))))
        took_ms = round((time.monotonic() - started) * 1000)
        await connection.execute(query("insert_migration"), file.version, file.name, file.sha256, took_ms)
        await transaction.commit()
    except asyncpg.PostgresError as exc:  # the connection is closed next, and that rolls back
        if classify(exc) == "transient":
            raise
        raise MigrationError(_to_sentence(file, exc)) from exc
    return MigrationStep(file.version, file.name, took_ms)


def _to_sentence(file: _File, exc: asyncpg.PostgresError) -> str:
    said = ". ".join(filter(None, (exc.args[0], exc.hint)))
    start = f"migration {file.version:04}_{file.name} failed and left nothing behind"
    if exc.sqlstate == _NO_RIGHTS:
        return (
            f"{start}: this role lacks a right ({said}); let the database's owner run 'gateway migrate', or have a"
            " superuser create the extension timescaledb first"
        )
    return f"{start}: {said} ({exc.sqlstate})"
