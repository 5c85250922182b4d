"""One connection. In: a database URL and bounds. Out: an open one, to a server that takes writes. Never retries."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, NamedTuple

import asyncpg

from gateway.core.errors import SettingsError
from gateway.timescale.connections import hosts, pooler
from gateway.timescale.connections.hosts import Direct, ServerAddress
from gateway.timescale.connections.lineage import Lineage

PLANS = {"plan_cache_mode": "force_custom_plan"}
"""Of every session: a plan for messages of any time would open, and lock, every chunk there is."""


async def connect(
    url: str,
    *,
    name: str,
    connect_timeout: float,
    command_timeout: float,
    parameters: Mapping[str, str] | None = None,
    lineage: Lineage | None = None,
    trusting: bool = True,
    **internals: Any,
) -> Direct:
    """Open one connection; timeouts in seconds, `name` is what pg_stat_activity shows, `parameters` are the session's.

    What was found of a pooler a moment ago is believed if `trusting`. Of several servers it is the first that can be
    written to and is no old primary: `lineage` looks where each leads. Raises SettingsError for a URL that cannot be
    meant, SinkUnavailable for an old primary, SinkFault for a pooler that keeps no sessions, and DATABASE_ERRORS.
    """
    reach = partial(
        asyncpg.connect,
        url,
        timeout=connect_timeout,
        command_timeout=command_timeout,
        server_settings={"application_name": name, "timezone": "UTC"},
        **internals,
    )
    attempt = _Attempt(reach, connect_timeout, {**PLANS, **(parameters or {})}, lineage, trusting)
    try:
        _, connection = await hosts.first(url, attempt.open, timeout=connect_timeout)
    except OSError:
        raise  # a certificate that does not verify is a ValueError too
    except asyncpg.ClientConfigurationError as exc:
        raise SettingsError(f"database.url cannot be used: {exc}") from exc
    except ValueError:  # its words may quote a part of the password
        raise SettingsError(hosts.FORM) from None
    return connection


@asynccontextmanager
async def connected(url: str, *, connect_timeout: float, **more: Any) -> AsyncIterator[Direct]:
    """Open one as `connect` does, for the block; it is closed at the end, and cut off where the block fails."""
    connection = await connect(url, connect_timeout=connect_timeout, **more)
    try:
        yield connection
        await connection.close(timeout=connect_timeout)
    finally:
        connection.terminate()  # of no effect on one that is closed


def to_sets(parameters: Mapping[str, str]) -> str:
    """Return the statements that set these: at the start of a session poolers refuse them, or forget them."""
    return "".join(f"set {name} = '{value}';" for name, value in parameters.items())


class _Attempt(NamedTuple):
    """How a connection is opened, whichever of the servers it leads to."""

    reach: Callable[..., Awaitable[Direct]]
    timeout: float
    parameters: Mapping[str, str]
    lineage: Lineage | None
    trusting: bool

    async def open(self, server: ServerAddress, attribute: str | None) -> Direct:
        """Open one to this server; it is closed again if it is not what is looked for."""
        reach = partial(self.reach, host=server.host, port=server.port)
        connection = await reach(target_session_attrs=attribute)
        try:
            await pooler.require_sessions(connection, server, reach, timeout=self.timeout, trusting=self.trusting)
            if self.lineage is not None:
                await self.lineage.check(connection)
            await connection.execute(to_sets(self.parameters))
        except BaseException:
            connection.terminate()
            raise
        return connection
