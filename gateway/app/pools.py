"""Connection pools, as the settings say: each use has its own, so that none waits for another."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from gateway.app.lineage import open_lineage
from gateway.core.settings import Settings
from gateway.timescale.connections.lineage import Lineage
from gateway.timescale.connections.pool import Pool, open_pool


def named_pool(
    settings: Settings, name: str, *, size: int, lineage: Lineage, leaves_nothing: bool = False
) -> AbstractAsyncContextManager[Pool]:
    """Open a pool whose connections carry this name in pg_stat_activity; nothing is connected yet on return.

    What is done on one that `leaves_nothing` leaves nothing behind in its session.
    """
    database = settings.database
    return open_pool(
        database.url,
        name=name,
        size=size,
        connect_timeout=database.connect_timeout_secs,
        command_timeout=database.read_timeout_secs,
        lineage=lineage,
        leaves_nothing=leaves_nothing,
    )


@asynccontextmanager
async def command_pool(
    settings: Settings, name: str, *, url: str | None = None, command_secs: float | None = None
) -> AsyncIterator[Pool]:
    """Open one connection for a command, to the database of the settings unless another one is given.

    `command_secs` bounds a statement; default: `database.read_timeout_secs`.
    """
    database = settings.database
    async with (
        open_lineage(settings) as lineage,
        open_pool(
            url or database.url,
            name=name,
            size=1,
            connect_timeout=database.connect_timeout_secs,
            command_timeout=command_secs or database.read_timeout_secs,
            lineage=lineage,
        ) as pool,
    ):
        yield pool
