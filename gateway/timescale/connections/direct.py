"""The connections of a writer: as many as are written on at once, each prepared once. Never one of another epoch."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from gateway.core import settings
from gateway.telemetry import gauges
from gateway.timescale.connections import hosts
from gateway.timescale.connections.connect import connect
from gateway.timescale.connections.hosts import DATABASE_ERRORS, Direct
from gateway.timescale.connections.lineage import Lineage, moved
from gateway.timescale.connections.pool import translated

DROP_SECS = 2.0
"""Longest wait for the server to give up a command."""


class DirectConnections:
    """The connections of one writer. They are no pool's: what is left of a use stays on them."""

    def __init__(
        self, database: settings.DatabaseSettings, lineage: Lineage, *, prepare: Callable[[Direct], Awaitable[None]]
    ) -> None:
        """`prepare` makes on a new connection what its users need."""
        self._database = database
        self._lineage = lineage
        self._prepare = prepare
        self._idle: list[Direct] = []
        self._epoch = lineage.epoch
        """Of the idle ones, and so is this:"""
        self._failovers = hosts.failovers()

    @asynccontextmanager
    async def lend(self, epoch: int) -> AsyncIterator[Direct]:
        """Lend a connection on which ids of this epoch hold, to the end of the block.

        One that failed is dropped. Raises SinkUnavailable, also when the database became another one: what was written
        is perhaps on a server that has been replaced; SinkFault.
        """
        async with translated():
            connection = await self._reuse() or await self._connect()
            gauges.lent(gauges.WRITER, 1)
            try:
                self._check(epoch)
                yield connection
                self._check(epoch)
            except BaseException:
                await _drop(connection, DROP_SECS)
                raise
            finally:
                gauges.lent(gauges.WRITER, -1)
            if not connection.is_closed():
                self._idle.append(connection)

    async def close(self) -> None:
        """Close those that are not in use."""
        await self._drop_idle(self._database.connect_timeout_secs)

    def _check(self, epoch: int) -> None:
        if epoch != self._lineage.epoch:
            raise moved()

    async def _connect(self) -> Direct:
        connection = await connect(
            self._database.url,
            name="gateway-writer",
            connect_timeout=self._database.connect_timeout_secs,
            command_timeout=self._database.write_timeout_secs,
            lineage=self._lineage,
        )
        try:
            await self._prepare(connection)
        except BaseException:
            connection.terminate()
            raise
        return connection

    async def _reuse(self) -> "Direct | None":
        """Return an idle connection; those that the server has closed, or that lead elsewhere, are passed over."""
        if self._failovers != hosts.failovers():
            self._failovers = hosts.failovers()
            while self._idle:
                self._idle.pop().terminate()  # what leads to a server that was replaced may hang for long
        if self._epoch != self._lineage.epoch:
            self._epoch = self._lineage.epoch
            await self._drop_idle(DROP_SECS)
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                return connection
        return None

    async def _drop_idle(self, timeout: float) -> None:
        left, self._idle = self._idle, []
        for connection in left:
            await _drop(connection, timeout)


async def _drop(connection: Direct, timeout: float) -> None:
    """Close a connection; the server is asked to give up what it still does there, for its locks."""
    try:
        await connection.close(timeout=timeout)
    except DATABASE_ERRORS:
        connection.terminate()
