"""The database of a target: one of its own, on a server that all share. In: SQL. Out: rows."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import asyncpg

CONNECT_SECS = 10.0
COMMAND_SECS = 300.0


def ask(url: str, statement: str, *arguments: Any) -> "list[asyncpg.Record]":
    """Run one statement on a connection of its own; return its rows. Raises asyncpg's errors and OSError."""

    async def run() -> "list[asyncpg.Record]":
        connection = await asyncpg.connect(
            url, timeout=CONNECT_SECS, command_timeout=COMMAND_SECS, statement_cache_size=0
        )
        try:
            return await connection.fetch(statement, *arguments)
        finally:
            await connection.close(timeout=CONNECT_SECS)

    return asyncio.run(run())


def make(server: str, name: str, *statements: str) -> None:
    """Make a database on the server that this URL leads to, and run these in it."""
    ask(server, f"create database {name}")
    for statement in statements:
        ask(within(server, name), statement)


def within(server: str, name: str) -> str:
    """Return the URL of a database of the server."""
    return f"{server.rpartition('/')[0]}/{name}"


def bounds(ends: Mapping[str, int]) -> tuple[Sequence[str], Sequence[datetime]]:
    """Return devices and times, for `unnest($1::text[], $2::timestamptz[])`."""
    return list(ends), [datetime.fromtimestamp(ms / 1000, UTC) for ms in ends.values()]
