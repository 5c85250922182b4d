"""The identity of a server. In: a connection. Out: which cluster, which line of its history, how far. Only reads."""

from contextlib import suppress
from datetime import datetime
from hashlib import sha256
from typing import Any, NamedTuple, Protocol, Self

import asyncpg

from gateway.timescale.queries import query

SITE_LENGTH = 8
LINE_LENGTH = 6
_WITHHELD = (asyncpg.InsufficientPrivilegeError, asyncpg.UndefinedFunctionError, asyncpg.FeatureNotSupportedError)


class Queryable(Protocol):
    """A connection, as far as it is asked."""

    async def fetchrow(self, query: str, /) -> Any:
        """Return the first row."""
        ...

    async def fetchval(self, query: str, /) -> Any:
        """Return the first value of the first row."""
        ...


class ServerIdentity(NamedTuple):
    """Where a connection leads. What the server does not tell is None, or 0."""

    standby: bool
    started: datetime
    """Of the whole server: whatever was put back to an earlier time was started since."""
    database: int
    """The number of this database in its cluster; another one when it was dropped and made again."""
    tables: int | None = None
    """The same of its tables; None before the first migration."""
    installation: str | None = None
    """What the row of the table `installation` says."""
    system: str = ""
    """The cluster's identifier: copies of its files share it, a dump that was loaded elsewhere does not."""
    timeline: int = 0
    """The line of the cluster's history: each promotion and each restore to a point in time begins a higher one."""
    flushed: int = 0
    """Bytes of its log that are safe on disk, over its whole life."""
    inserted: int = 0
    """Bytes of its log."""

    @property
    def key(self) -> str:
        """Whose timelines are compared: those of one cluster."""
        return self.system or self.installation or ""

    def after(self, known: "ServerIdentity | None") -> Self:
        """Return the same, with what only the earlier look could tell."""
        if known is None:
            return self
        return self._replace(
            tables=self.tables or known.tables,
            installation=self.installation or known.installation,
            system=self.system or known.system,
            timeline=self.timeline or known.timeline,
        )

    def is_line_of(self, known: "ServerIdentity") -> bool:
        """Whether both are one line of history: then what was stored there is stored here."""
        mine, theirs = self.after(known), known.after(self)
        return mine.line == theirs.line

    def is_same(self, known: "ServerIdentity") -> bool:
        """Whether what was learnt there still holds: nothing can have been put back meanwhile."""
        mine, theirs = self.after(known), known.after(self)
        return (mine.started, mine.database, mine.tables) == (theirs.started, theirs.database, theirs.tables) and (
            mine.line == theirs.line
        )

    @property
    def line(self) -> tuple[str | None, str, int]:
        """What tells one line of history from every other one, of this database and of others."""
        return self.installation, self.system, self.timeline


async def ask(connection: Queryable) -> ServerIdentity:
    """Ask where a connection leads. Raises DATABASE_ERRORS."""
    try:
        whole: Any = await connection.fetchrow(query("server_whole"))
    except (*_WITHHELD, asyncpg.UndefinedTableError):
        return await _ask_in_steps(connection)
    server = ServerIdentity(
        whole["standby"],
        whole["started"],
        whole["database"],
        whole["tables"],
        installation=whole["installation"],
        system=str(whole["system"]),
    )
    return server if server.standby else _with_position(server, whole)


async def _ask_in_steps(connection: Queryable) -> ServerIdentity:
    """Ask a server that has no tables yet, or keeps something to itself."""
    row: Any = await connection.fetchrow(query("server"))
    server = ServerIdentity(row["standby"], row["started"], row["database"], row["tables"])
    if row["has_installation"]:
        server = server._replace(installation=await connection.fetchval(query("installation")))
    with suppress(*_WITHHELD):  # a hosted server may keep it to itself
        server = server._replace(system=str(await connection.fetchval(query("server_system"))))
    if server.standby:
        return server
    try:
        position: Any = await connection.fetchrow(query("server_position"))
    except _WITHHELD:
        return server
    return _with_position(server, position)


def _with_position(server: ServerIdentity, position: Any) -> ServerIdentity:
    timeline = int(position["segment"][:8], 16)
    return server._replace(timeline=timeline, flushed=position["flushed"], inserted=position["inserted"])


def site(server: ServerIdentity, turn: int) -> str:
    """Return the short name of this line of this database's history, which keeps apart what is derived from it.

    `turn` grows when a line was put back to an earlier time. Empty as long as there is no table `installation`.
    """
    if not server.installation:
        return ""
    line = sha256(f"{server.system} {server.timeline} {turn}".encode()).hexdigest()
    return f"{server.installation[:SITE_LENGTH]}.{line[:LINE_LENGTH]}"
