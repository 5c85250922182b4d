"""`gateway start`: the schema first, in the main process, so that what is wrong is said once; then it serves."""

import asyncio
import sys

from gateway.app.lineage import migrate_schema
from gateway.app.processes.supervisor import serve
from gateway.app.worker import open_runtime
from gateway.core.errors import SinkUnavailable
from gateway.core.settings import Settings
from gateway.ingest.pipeline.breaker import reason


def start(settings: Settings) -> None:
    """Bring the schema up to date, then serve until told to stop. Raises GatewayError if that cannot begin."""
    try:
        asyncio.run(migrate_schema(settings))
    except SinkUnavailable as exc:  # readings are spooled until it is there; the workers migrate then
        print(f"gateway: the database cannot be reached yet ({reason(exc)}); starting all the same.", file=sys.stderr)
    serve(settings, open_runtime)
