"""Connections to write on: as many as are written on at once, each prepared once. Never of another epoch."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from gateway.core import settings
from gateway.telemetry import gauges
from gateway.timescale.connections.connect import Direct, connect
from gateway.timescale.connections.idle import Idle
from gateway.timescale.connections.lineage import Lineage, moved
from gateway.timescale.connections.pool import DATABASE_ERRORS, translated

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
        self._idle = Idle()
        self._epoch = lineage.epoch
        """Of the idle ones."""

    @asynccontextmanager
    async def lend(self, epoch: int) -> AsyncIterator[Direct]:
        """Lend a connection on which ids of this epoch hold, to the end of the block.

        One that is in doubt afterwards is dropped. Raises SinkUnavailable, also when the database became another one:
        what was written is perhaps on a server that has been replaced; SinkFault.
        """
        async with translated():
            connection = await self._reuse() or await self._connect()
            gauges.lent(gauges.WRITER, 1)
            try:
                self._check(epoch)
                yield connection
                self._check(epoch)
            except BaseException:
                await _drop(connection)
                raise
            finally:
                gauges.lent(gauges.WRITER, -1)
            self._idle.add(connection)

    async def close(self) -> None:
        """Close those that are not in use."""
        await self._idle.close(self._database.connect_timeout_secs)

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
        if self._epoch != self._lineage.epoch:
            left, self._idle = self._idle, Idle()
            self._epoch = self._lineage.epoch
            await left.close(DROP_SECS)
        return self._idle.take()


async def _drop(connection: Direct) -> None:
    """Close a connection in doubt; the server is asked to give up what it still does there, for its locks."""
    try:
        await connection.close(timeout=DROP_SECS)
    except DATABASE_ERRORS:
        connection.terminate()
