"""Settings in, a serving gateway out: the schema first, in the main process, so that what is wrong is said once."""

import asyncio

from gateway.runtime import open_runtime
from gateway.settings import Settings
from gateway.timescale.migrations import migrate
from gateway.workers import serve


def start(settings: Settings) -> None:
    """Bring the schema up to date, then serve until told to stop. Raises GatewayError if that cannot begin."""
    database = settings.database
    asyncio.run(
        migrate(database.url, chunk_hours=database.chunk_hours, connect_timeout=database.connect_timeout_secs)
    )
    serve(settings, open_runtime)
