"""Reports on servers. In: a database URL. Out: what each is, how many connections a pooler gives. Changes nothing."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any, NamedTuple

import asyncpg

from gateway.core.errors import GatewayError
from gateway.timescale.connections import pooler
from gateway.timescale.connections.hosts import DATABASE_ERRORS, ServerAddress, parse_hosts, reason, resolved
from gateway.timescale.connections.pool import Pool

_ANY: Any = "any"


class ServerReport(NamedTuple):
    """One of several servers."""

    place: ServerAddress
    reachable: bool
    sentence: str


async def look(url: str, *, timeout: float) -> Sequence[ServerReport]:
    """Say what each of several servers is, or why it cannot be used; nothing if there is one. `timeout` in seconds.

    Raises SettingsError for a URL that cannot be meant.
    """
    places = await resolved(parse_hosts(url))
    if len(places) == 1:
        return []
    return await asyncio.gather(*(_look_at(url, place, timeout=timeout) for place in places))


async def count_connections(pool: Pool, wanted: int, *, timeout: float) -> int | None:
    """Return how many of so many connections a pooler gives within `timeout` seconds; None if there is no pooler.

    `pool` has `wanted` connections. Raises SinkUnavailable, SinkFault if it gives none.
    """
    async with AsyncExitStack() as stack:
        if not await pooler.is_pooled(await stack.enter_async_context(pool.connection())):
            return None
        given = 1
        try:
            async with asyncio.timeout(timeout):
                while given < wanted:
                    connection = await stack.enter_async_context(pool.connection())
                    await connection.execute("select")
                    given += 1
        except (GatewayError, *DATABASE_ERRORS):
            pass  # it is full
        return given


async def _look_at(url: str, place: ServerAddress, *, timeout: float) -> ServerReport:
    try:
        async with asyncio.timeout(timeout):
            connection = await asyncpg.connect(
                url,
                host=place.host,
                port=place.port,
                target_session_attrs=_ANY,
                server_settings={"application_name": "gateway doctor"},
            )
            try:
                standby = await connection.fetchval("select pg_is_in_recovery()")
                version = await connection.fetchval("show server_version")
            finally:
                connection.terminate()
    except DATABASE_ERRORS as exc:
        return ServerReport(place, reachable=False, sentence=reason(exc))
    return ServerReport(
        place, reachable=True, sentence=f"{'a standby' if standby else 'a primary'}, PostgreSQL {version}"
    )
