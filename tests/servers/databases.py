"""In: a server. Out: a fresh, migrated database for each test, cloned from a template made once. Never reuses one."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Literal

import asyncpg

from tests.servers.postgres import DatabaseServer

Kind = Literal["timescale", "plain"]
Migrate = Callable[[str], Awaitable[object]]
_CONNECT_SECS = 10.0
_COMMAND_SECS = 60.0
_END_MS = 10_000


@dataclass(frozen=True)
class Database:
    """One test's own database; dropped after it."""

    url: str
    kind: Kind


class Databases:
    """The databases of one server. ``migrate`` brings the template of this URL up to date, once."""

    def __init__(self, server: DatabaseServer, kind: Kind, migrate: Migrate) -> None:
        self.server = server
        self._kind: Kind = kind
        self._migrate = migrate
        self._template: str | None = None

    @asynccontextmanager
    async def migrated(self) -> AsyncIterator[Database]:
        """A database with the schema in it."""
        async with self._database(await self._prepared()) as database:
            yield database

    @asynccontextmanager
    async def empty(self) -> AsyncIterator[Database]:
        """A database with nothing in it, for tests of the migrations themselves."""
        async with self._database("template0") as database:
            yield database

    async def remove_template(self) -> None:
        """Leave a given server as it was found."""
        name, self._template = self._template, None
        if name is not None:
            await self._execute(f"alter database {name} with is_template false")
            await self._execute(f"drop database {name} with (force)")

    @asynccontextmanager
    async def _database(self, template: str) -> AsyncIterator[Database]:
        name = f"test_{secrets.token_hex(6)}"
        await self._execute(f"create database {name} template {template}")
        try:
            yield Database(self.server.url(name), self._kind)
        finally:
            await self._execute(f"drop database {name} with (force)")

    async def _prepared(self) -> str:
        if self._template is None:
            name = f"template_{secrets.token_hex(6)}"
            await self._execute(f"create database {name}")
            await self._migrate(self.server.url(name))
            # A template that somebody is connected to cannot be copied, and TimescaleDB's scheduler is by now.
            await self._execute(f"alter database {name} with allow_connections false is_template true")
            await self._execute(
                f"select pg_terminate_backend(pid, {_END_MS}) from pg_stat_activity where datname = '{name}'"
            )
            self._template = name
        return self._template

    async def _execute(self, command: str) -> None:
        connection = await asyncpg.connect(
            self.server.url(), timeout=_CONNECT_SECS, command_timeout=_COMMAND_SECS, statement_cache_size=0
        )
        try:
            await connection.execute(command)
        finally:
            await connection.close(timeout=_CONNECT_SECS)


async def migrate_days(url: str) -> None:
    """Bring the schema up to date, with a chunk a day."""
    from gateway.timescale.migrations import migrate  # noqa: PLC0415 -- only tests with a database pay for it

    await migrate(url, chunk_hours=24)


@contextmanager
def databases_of(server: DatabaseServer, kind: Kind) -> Iterator[Databases]:
    """The databases of this server; it is left as it was found."""
    databases = Databases(server, kind, migrate_days)
    yield databases
    asyncio.run(databases.remove_template())
