"""In: a database URL and bounds. Out: one open connection, to a server that can be written to. Never retries."""

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

import asyncpg

from gateway.core.errors import SettingsError
from gateway.timescale.connections import hosts, pooler
from gateway.timescale.connections.hosts import ServerAddress
from gateway.timescale.connections.lineage import Lineage

Direct: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

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

    What was found of the way to the server a moment ago is believed if `trusting`. Of several servers it is the first
    that can be written to and is no old primary: `lineage` looks where each leads. Raises SettingsError for a URL that
    cannot be meant, SinkUnavailable for an old primary, SinkFault for a way to the server that keeps no sessions, and
    DATABASE_ERRORS.
    """
    kept = {**PLANS, **(parameters or {})}
    way = _Way(url, name, connect_timeout, command_timeout, kept, lineage, trusting, internals)
    try:
        _, connection = await hosts.first(url, way.open, timeout=connect_timeout)
    except OSError:
        raise  # a certificate that does not verify is a ValueError too
    except asyncpg.ClientConfigurationError as exc:
        raise SettingsError(f"database.url cannot be used: {exc}") from exc
    except ValueError:  # its words may quote a part of the password
        raise SettingsError(hosts.FORM) from None
    return connection


def to_sets(parameters: Mapping[str, str]) -> str:
    """Return the statements that set these: at the start of a session poolers refuse them, or forget them."""
    return "".join(f"set {name} = '{value}';" for name, value in parameters.items())


class _Way(NamedTuple):
    """How a connection is opened, whichever of the servers it leads to."""

    url: str
    name: str
    connect_timeout: float
    command_timeout: float
    parameters: Mapping[str, str]
    lineage: Lineage | None
    trusting: bool
    internals: Mapping[str, Any]

    async def open(self, place: ServerAddress, wants: str | None) -> Direct:
        """Open one to this server; it is closed again if it is not what is looked for."""
        connection = await self._reach(place, wants)
        try:
            await pooler.require_sessions(
                connection, place, lambda: self._reach(place), timeout=self.connect_timeout, trusting=self.trusting
            )
            if self.lineage is not None:
                await self.lineage.greet(connection)
            await connection.execute(to_sets(self.parameters))
        except BaseException:
            connection.terminate()
            raise
        return connection

    async def _reach(self, place: ServerAddress, wants: Any = None) -> Direct:
        return await asyncpg.connect(
            self.url,
            host=place.host,
            port=place.port,
            target_session_attrs=wants,
            timeout=self.connect_timeout,
            command_timeout=self.command_timeout,
            server_settings={"application_name": self.name, "timezone": "UTC"},
            **self.internals,
        )
