"""In: a database URL and bounds. Out: a pool of connections that heals, the library's errors as ours. Never retries."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any, Literal, TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from gateway.core.errors import SinkFault, SinkUnavailable
from gateway.telemetry import gauges
from gateway.timescale.connections import hosts
from gateway.timescale.connections.connect import PLANS, Direct, connect, to_sets
from gateway.timescale.connections.hosts import NoHost
from gateway.timescale.connections.lineage import Lineage, moved
from gateway.timescale.hints import cure

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"
Raw: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Verdict = Literal["transient", "fault", "data"]

ATTEMPTS = 3
"""How often a connection is taken that leads to where others do not any more."""
DATABASE_ERRORS = hosts.SERVER_ERRORS
"""Everything that talking to the database may raise."""

# PostgreSQL's appendix "Error Codes"; a class is the first two characters.
_BY_STATE: dict[str, Verdict] = {
    "25006": "transient",  # read-only transaction: a standby that is being promoted
    "25P03": "transient",  # idle in transaction for too long
    "2200H": "fault",  # an identity column has come to its end
    "53100": "fault",  # disk full
    "55P03": "transient",  # lock not available
}
_BY_CLASS: dict[str, Verdict] = {
    "08": "transient",  # connection
    "22": "data",
    "23": "data",  # integrity
    "40": "transient",  # serialization, deadlock
    "53": "transient",  # memory, connections
    "54": "data",  # a row beyond PostgreSQL's limits
    "57": "transient",  # cancelled, shut down, starting up
}
_WRONG_SCHEMA = frozenset({"3F000", "42703", "42883", "42P01"})
_STANDING = (
    asyncpg.ClientConfigurationError,
    asyncpg.UnsupportedClientFeatureError,
    asyncpg.UnsupportedServerFeatureError,
    ssl.SSLCertVerificationError,
)


def classify(exc: BaseException) -> Verdict:
    """Say what one of DATABASE_ERRORS means.

    `transient`: the same call may succeed later. `fault`: an operator must act first. `data`: what was sent is refused.
    """
    if isinstance(exc, asyncpg.InvalidCachedStatementError):
        return "transient"  # the schema changed under a prepared statement; the next call prepares it anew
    if isinstance(exc, NoHost):
        return (
            "fault"
            if all(isinstance(one, SinkFault) or classify(one) == "fault" for one in exc.failures)
            else "transient"
        )
    if isinstance(exc, asyncpg.PostgresError):
        state = exc.sqlstate or ""
        return _BY_STATE.get(state) or _BY_CLASS.get(state[:2], "fault")
    return "fault" if isinstance(exc, _STANDING) else "transient"


@asynccontextmanager
async def translated() -> AsyncIterator[None]:
    """Turn the library's errors into SinkUnavailable or SinkFault; the original is their `__cause__`.

    Data errors (asyncpg.PostgresError of the classes 22, 23 and 54) pass through: only the caller knows the row.
    """
    try:
        yield
    except DATABASE_ERRORS as exc:
        verdict = classify(exc)
        if verdict == "data":
            raise
        error = SinkUnavailable() if verdict == "transient" else _to_fault(exc)
        error.advice = cure(exc)
        raise error from exc


def _to_fault(exc: BaseException) -> SinkFault:
    if isinstance(exc, asyncpg.PostgresError) and exc.sqlstate in _WRONG_SCHEMA:
        return SinkFault("the database's tables are not those of this gateway; run 'gateway migrate' first")
    return SinkFault()


def is_crowded(exc: BaseException) -> bool:
    """Whether the server's table of locks, or its memory, was too small for what was asked just now."""
    return isinstance(exc, asyncpg.OutOfMemoryError)


class Pool:
    """At most so many connections, made when first needed: it opens while the database is down, and heals by itself.

    When another of several servers has become the good one it begins anew: idle connections to the one before may hang.
    """

    def __init__(
        self,
        make: Callable[[], Awaitable[Raw]],
        raw: Raw,
        *,
        acquire_timeout: float,
        name: str = "",
        lineage: Lineage | None = None,
    ) -> None:
        """`make` returns another pool like `raw`, with nothing connected yet."""
        self._make = make
        self._pool = raw
        self._name = name
        self._acquire_timeout = acquire_timeout
        self._switches = hosts.switches()
        self._ending: set[asyncio.Task[None]] = set()
        self.lineage = lineage or Lineage()
        """Where the connections lead to."""
        self._epoch = self.lineage.epoch

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend a connection; errors inside the block are translated.

        Raises SinkUnavailable, also when none becomes free within the acquire timeout, and when the database became
        another one meanwhile, where what was read does not hold; and SinkFault.
        """
        async with self._lent() as connection:
            epoch = self.lineage.epoch
            yield connection
        if epoch != self.lineage.epoch:
            raise moved()

    async def look(self) -> None:
        """Look where the connections lead to now. Raises SinkUnavailable, SinkFault."""
        async with self._lent() as connection:
            await self.lineage.greet(connection)

    @asynccontextmanager
    async def _lent(self) -> AsyncIterator[Connection]:
        """Lend a connection that leads to where new ones do."""
        async with translated():
            for _ in range(ATTEMPTS):
                if self._switches != hosts.switches():
                    await self._begin_anew()
                if self._epoch != self.lineage.epoch:
                    await self._pool.expire_connections()
                    self._epoch = self.lineage.epoch
                async with self._pool.acquire(timeout=self._acquire_timeout) as connection:
                    if self._epoch == self.lineage.epoch:
                        gauges.lent(self._name, 1)
                        try:
                            yield connection
                        finally:
                            gauges.lent(self._name, -1)
                        return
            raise moved()

    async def close(self, timeout: float) -> None:
        """Close when all connections are back, or cut them off after `timeout` seconds."""
        await asyncio.gather(_close(self._pool, timeout), *self._ending)

    async def _begin_anew(self) -> None:
        self._switches = hosts.switches()
        before, self._pool = self._pool, await self._make()
        task = asyncio.create_task(_close(before, self._acquire_timeout), name="pool.close")
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


async def _close(raw: Raw, timeout: float) -> None:
    try:
        await asyncio.wait_for(raw.close(), timeout)
    except DATABASE_ERRORS:
        raw.terminate()


@asynccontextmanager
async def open_pool(
    url: str,
    *,
    name: str,
    size: int,
    connect_timeout: float,
    command_timeout: float,
    init: Callable[[Direct], Coroutine[Any, Any, None]] | None = None,
    parameters: Mapping[str, str] | None = None,
    lineage: Lineage | None = None,
    leaves_nothing: bool = False,
) -> AsyncIterator[Pool]:
    """Open a pool of at most `size` connections; close it at the end of the block. Timeouts in seconds.

    `lineage` looks where each new connection leads, `init` prepares it; `parameters` are the session's, and outlive the
    reset between two uses, which is left out where what is done `leaves_nothing` in the session. Nothing is connected
    yet on return, so a wrong URL shows at first use.
    """
    again = to_sets({"timezone": "UTC", **PLANS, **(parameters or {})})  # a pooler's server has a time zone of its own
    line = lineage or Lineage()

    async def make(*_: Any, **internals: Any) -> Any:
        return await connect(
            url,
            name=name,
            connect_timeout=connect_timeout,
            command_timeout=command_timeout,
            parameters=parameters,
            lineage=line,
            **internals,
        )

    async def reset(connection: Direct) -> None:
        if not leaves_nothing:
            await connection.execute(connection.get_reset_query() + again)

    async def empty() -> Raw:
        return await asyncpg.create_pool(min_size=0, max_size=size, init=init, connect=make, reset=reset)

    # The library counts waiting for a free connection and making one together.
    pool = Pool(empty, await empty(), acquire_timeout=connect_timeout, name=name, lineage=line)
    gauges.pool_opened(name, size)
    try:
        yield pool
    finally:
        await pool.close(timeout=connect_timeout)
