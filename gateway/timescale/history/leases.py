"""Connections for reading. In: a pool. Out: one of it for a question, waited for and used within bounds.

Each is lent for one question, or for one block of a stream: a slow reader of a stream holds none while it reads.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext

import asyncpg

from gateway.core.errors import BadRequest, Overloaded, QueryTimeout
from gateway.core.settings import HistorySettings
from gateway.domain.shares import Share, Shares
from gateway.telemetry import events, limit_events
from gateway.timescale.connections.pool import Connection, Pool

MARGIN_SECS = 2.0
"""The server ends a statement after `history.timeout_secs`; this much later all of one question together are ended."""
RETRY_SECS = 5.0
"""When to come back after a time-out."""


class Leases:
    """The connections of `history.pool`."""

    def __init__(self, pool: Pool, settings: HistorySettings) -> None:
        self._pool = pool
        self._settings = settings
        self._free = asyncio.Semaphore(settings.pool)
        share = Share(settings.max_queries_per_credential, "history.max_queries_per_credential", "questions of history")
        self._shares = Shares(share, on_refused=limit_events.share_refused)

    @asynccontextmanager
    async def connection(self, caller: str = "", *, patient: bool = False) -> AsyncIterator[Connection]:
        """Lend a connection; `patient` waits as long as a statement may take, as a stream that has begun does.

        A caller without a name has no share. Raises TooManyAtOnce if none of its share becomes free, Overloaded if none
        of all does, QueryTimeout, BadRequest if a result leaves the range of its type, SinkUnavailable, SinkFault.
        """
        wait_secs = self._settings.timeout_secs if patient else self._settings.wait_secs
        share = self._shares.place(caller, wait_secs=wait_secs) if caller else nullcontext()
        async with share, self._lent(wait_secs) as connection:
            yield connection

    @asynccontextmanager
    async def _lent(self, wait_secs: float) -> AsyncIterator[Connection]:
        await self._wait(wait_secs)
        try:
            async with self._pool.connection() as connection:
                try:
                    async with asyncio.timeout(self._settings.timeout_secs + MARGIN_SECS):
                        yield connection
                except (asyncpg.QueryCanceledError, TimeoutError) as exc:
                    raise self._timeout() from exc
        except asyncpg.DataError as exc:
            raise BadRequest(
                f"a result is beyond its type ({exc}); ask for fn=min,max,first,last", parameter="fn"
            ) from exc
        finally:
            self._free.release()

    async def _wait(self, secs: float) -> None:
        try:
            await asyncio.wait_for(self._free.acquire(), secs)
        except TimeoutError:
            events.overloaded("history.pool")
            raise Overloaded(
                "all connections for reading history are taken (history.pool); ask again later, ask for less at once,"
                " or raise the limit",
                limit="history.pool",
                value=self._settings.pool,
            ) from None

    def _timeout(self) -> QueryTimeout:
        secs = self._settings.timeout_secs
        return QueryTimeout(
            f"the question took longer than {secs:g} s (history.timeout_secs); ask for a shorter time, for fewer"
            " devices or metrics, or for larger buckets",
            limit="history.timeout_secs",
            value=secs,
            retry_after=RETRY_SECS,
        )
