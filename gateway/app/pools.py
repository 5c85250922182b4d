"""Connection pools, as the settings say: each use has its own, so that none waits for another."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from gateway.app.lineage import open_lineage
from gateway.core.settings import Settings
from gateway.timescale.connections.lineage import Lineage
from gateway.timescale.connections.pool import Pool, open_pool


def named_pool(
    settings: Settings,
    name: str,
    *,
    size: int,
    lineage: Lineage | None = None,
    leaves_nothing: bool = False,
    url: str | None = None,
    command_secs: float | None = None,
    parameters: Mapping[str, str] | None = None,
) -> AbstractAsyncContextManager[Pool]:
    """Open a pool whose connections carry this name in pg_stat_activity; nothing is connected yet on return.

    What is done on one that `leaves_nothing` leaves nothing behind in its session. `command_secs` bounds a statement;
    default: `database.read_timeout_secs`. `parameters` are the session's.
    """
    database = settings.database
    return open_pool(
        url or database.url,
        name=name,
        size=size,
        connect_timeout=database.connect_timeout_secs,
        command_timeout=command_secs or database.read_timeout_secs,
        parameters=parameters,
        lineage=lineage,
        leaves_nothing=leaves_nothing,
    )


@asynccontextmanager
async def command_pool(
    settings: Settings, name: str, *, url: str | None = None, command_secs: float | None = None
) -> AsyncIterator[Pool]:
    """Open one connection for a command, to the database of the settings unless another one is given."""
    async with (
        open_lineage(settings) as lineage,
        named_pool(settings, name, size=1, lineage=lineage, url=url, command_secs=command_secs) as pool,
    ):
        yield pool
