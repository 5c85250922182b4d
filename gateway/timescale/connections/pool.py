"""The pool. In: a database URL and bounds. Out: connections that heal, the library's errors as ours. Never retries."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Literal, TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from gateway.core.errors import SinkFault, SinkUnavailable
from gateway.telemetry import gauges
from gateway.timescale.connections import hosts
from gateway.timescale.connections.connect import PLANS, connect, to_sets
from gateway.timescale.connections.hosts import DATABASE_ERRORS, Direct, NoHost
from gateway.timescale.connections.lineage import Lineage, moved
from gateway.timescale.hints import cure

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"
LibraryPool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Verdict = Literal["transient", "fault", "data"]

ATTEMPTS = 3
"""How often a connection is taken that leads to where others do not any more."""

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
        lasting = all(isinstance(one, SinkFault) or classify(one) == "fault" for one in exc.failures)
        return "fault" if lasting else "transient"
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
        make: Callable[[], Awaitable[LibraryPool]],
        raw: LibraryPool,
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
        self._failovers = hosts.failovers()
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
            await self.lineage.check(connection)

    @asynccontextmanager
    async def _lent(self) -> AsyncIterator[Connection]:
        """Lend a connection that leads to where new ones do."""
        async with translated():
            for _ in range(ATTEMPTS):
                if self._failovers != hosts.failovers():
                    await self._reopen()
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

    async def _reopen(self) -> None:
        self._failovers = hosts.failovers()
        before, self._pool = self._pool, await self._make()
        task = asyncio.create_task(_close(before, self._acquire_timeout), name="pool.close")
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


async def _close(raw: LibraryPool, timeout: float) -> None:
    try:
        await asyncio.wait_for(raw.close(), timeout)
    except DATABASE_ERRORS:
        raw.terminate()


def _maker(
    connect_one: Callable[..., Awaitable[Direct]], size: int, session: str | None
) -> Callable[[], Awaitable[LibraryPool]]:
    """Return what makes pools; between two uses of a connection it is reset, and `session` executed (None: neither)."""

    async def connect_with(*_: Any, **internals: Any) -> Any:
        return await connect_one(**internals)

    async def reset(connection: Direct) -> None:
        if session is not None:
            await connection.execute(connection.get_reset_query() + session)

    async def make() -> LibraryPool:
        return await asyncpg.create_pool(min_size=0, max_size=size, connect=connect_with, reset=reset)

    return make


@asynccontextmanager
async def open_pool(
    url: str,
    *,
    name: str,
    size: int,
    connect_timeout: float,
    command_timeout: float,
    parameters: Mapping[str, str] | None = None,
    lineage: Lineage | None = None,
    leaves_nothing: bool = False,
) -> AsyncIterator[Pool]:
    """Open a pool of at most `size` connections; close it at the end of the block. Timeouts in seconds.

    `lineage` looks where each new connection leads; `parameters` are the session's, and outlive the reset between two
    uses, which is left out where what is done `leaves_nothing` in the session. Nothing is connected yet on return, so a
    wrong URL shows at first use.
    """
    lineage = lineage or Lineage()
    connect_one = partial(
        connect,
        url,
        name=name,
        connect_timeout=connect_timeout,
        command_timeout=command_timeout,
        parameters=parameters,
        lineage=lineage,
    )
    session = to_sets({"timezone": "UTC", **PLANS, **(parameters or {})})  # a pooler's server has its own time zone
    make = _maker(connect_one, size, None if leaves_nothing else session)
    # The library counts waiting for a free connection and making one together.
    pool = Pool(make, await make(), acquire_timeout=connect_timeout, name=name, lineage=lineage)
    gauges.pool_opened(name, size)
    try:
        yield pool
    finally:
        await pool.close(timeout=connect_timeout)
