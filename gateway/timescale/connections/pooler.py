"""The check for a pooler such as PgBouncer. In: a new connection. Out: nothing, or why it cannot be worked on.

Writers keep temporary tables, readers keep settings, and jobs under a lock keep it: all of it lives in a session. In
transaction mode the next transaction may find another session, or another's.
"""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from gateway.core.errors import SinkFault
from gateway.timescale.connections.hosts import Direct, ServerAddress

SHARED = (
    "database.url leads to a connection pooler that gives each transaction another session (PgBouncer with"
    " pool_mode=transaction or statement), but the gateway needs sessions of its own: let database.url lead to the"
    " server itself, or set pool_mode=session for this database"
)
TOO_FEW = (
    "database.url leads to a connection pooler (such as PgBouncer) that gives one connection, but no second one: raise"
    " its default_pool_size to what all workers need, or let database.url lead to the server itself"
)
TRUSTED_SECS = 1.0
"""For so long a pooler that kept its sessions apart is believed: connections that are made at once ask once."""
SHARE = 0.5
"""Part of the time to connect after which a second connection is given up."""

_trusted: dict[ServerAddress, float] = {}


class TooFewConnections(ConnectionError):
    """A pooler that has no second connection for us."""


async def require_sessions(
    connection: Direct,
    place: ServerAddress,
    another: Callable[[], Awaitable[Direct]],
    *,
    timeout: float,
    trusting: bool,
) -> None:
    """Return if what is set on this connection stays there; `another` opens one more to the same place.

    Costs a direct connection one round trip. `timeout` is for connecting, in seconds; not `trusting` asks again
    whatever was found before. Raises SinkFault for a pooler that shares sessions, TooFewConnections, and what talking
    to the server raises.
    """
    if not await is_pooled(connection) or (trusting and time.monotonic() < _trusted.get(place, 0)):
        return
    _trusted[place] = time.monotonic() + TRUSTED_SECS  # at once: connections that are made meanwhile need not ask, too
    try:
        shared = await _shares_sessions(connection, another, timeout=timeout * SHARE)
    except BaseException:
        _trusted.pop(place, None)
        raise
    if shared:
        _trusted.pop(place, None)
        raise SinkFault(SHARED)


async def is_pooled(connection: "Direct | PoolConnectionProxy[asyncpg.Record]") -> bool:
    """Say whether something stands between: the process that was named on connecting is not the one that answers."""
    # Without a prepared statement: in transaction mode there may be none, or another's of the same name.
    return await _holds(connection, f"pg_backend_pid() <> {connection.get_server_pid()}")


async def _shares_sessions(connection: Direct, another: Callable[[], Awaitable[Direct]], *, timeout: float) -> bool:
    """Mark the session, keep a second one busy, and look for the mark on both."""
    name = f"gateway.session_{secrets.token_hex(8)}"  # of its own: others may be looking at the same time
    mark = f"current_setting('{name}', true) = 'ours'"
    await connection.execute(f"set {name} = 'ours'")
    second = await _busy(another, timeout=timeout)
    if second is None:
        return True
    try:
        if await _holds(second, mark) or not await _holds(connection, mark):
            return True
        await second.execute("rollback")  # or else the pooler gives up this connection of its own
    finally:
        second.terminate()
    # Whoever hands out sessions in turn does not give the same one twice.
    return not (await _holds(connection, mark) and await _holds(connection, mark))


async def _busy(another: Callable[[], Awaitable[Direct]], *, timeout: float) -> "Direct | None":
    """Return a second connection in a transaction, None if there may be none. Raises TooFewConnections."""
    second: Direct | None = None
    try:
        async with asyncio.timeout(timeout):
            second = await another()
            await second.execute("begin")
    except BaseException as exc:
        if second is not None:
            second.terminate()
        if isinstance(exc, TimeoutError):
            raise TooFewConnections(TOO_FEW) from None
        # "transaction blocks not allowed in statement pooling mode", with which it hangs up
        if isinstance(exc.__cause__ or exc, asyncpg.ProtocolViolationError):
            return None
        raise
    return second


async def _holds(connection: "Direct | PoolConnectionProxy[asyncpg.Record]", condition: str) -> bool:
    return await connection.execute(f"select where {condition}") == "SELECT 1"
