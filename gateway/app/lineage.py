"""Lineage, opened: where the database's connections lead to, as remembered on disk and in Redis."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from gateway.core.errors import GatewayError
from gateway.core.settings import Settings
from gateway.state.timelines import open_watermarks
from gateway.timescale.connections.connect import connected
from gateway.timescale.connections.identity import ServerIdentity
from gateway.timescale.connections.lineage import Lineage
from gateway.timescale.connections.pool import Pool, translated
from gateway.timescale.connections.timelines import WatermarkFile
from gateway.timescale.migrations import MigrationStep, migrate

LOOK_SECS = 1.0


@asynccontextmanager
async def open_lineage(settings: Settings) -> AsyncIterator[Lineage]:
    """Open it; nothing is asked yet on return, so it opens while Redis and the database are away."""
    async with open_watermarks(settings.redis) as watermarks:
        yield Lineage(WatermarkFile(Path(settings.spool.dir)), watermarks)


async def migrate_schema(settings: Settings, *, plan_only: bool = False) -> list[MigrationStep]:
    """Bring the schema up to date, as `migrate` does, but not on an old primary."""
    async with open_lineage(settings) as lineage:
        return await migrate_as(settings, lineage, plan_only=plan_only)


async def migrate_as(settings: Settings, lineage: Lineage, *, plan_only: bool = False) -> list[MigrationStep]:
    """Do the same for somebody who knows the lineage."""
    database = settings.database
    return await migrate(
        database.url,
        chunk_hours=database.chunk_hours,
        plan_only=plan_only,
        connect_timeout=database.connect_timeout_secs,
        lineage=lineage,
    )


async def accept(settings: Settings) -> ServerIdentity:
    """Take the server of the settings for the right one from now on, whatever was seen before.

    Raises SinkUnavailable, SinkFault: a standby; SettingsError.
    """
    database = settings.database
    async with open_lineage(settings) as lineage, translated():
        opened = connected(
            database.url,
            name="gateway database accept",
            connect_timeout=database.connect_timeout_secs,
            command_timeout=database.read_timeout_secs,
        )
        async with opened as connection:
            return await lineage.accept(connection)


async def watch(pool: Pool) -> None:
    """Look every second, for ever: connections that are open say nothing of a server that has taken over elsewhere."""
    while True:
        with suppress(GatewayError):  # the breaker and the follower of the registry tell it
            await pool.lineage.share()
            await pool.look()
        await asyncio.sleep(LOOK_SECS)
