"""Stored readings, opened for reading: on connections of their own, which never write and end what takes too long."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.core.settings import Settings
from gateway.timescale.connections.pool import open_pool
from gateway.timescale.history.leases import MARGIN_SECS
from gateway.timescale.history.reader import TimescaleHistory
from gateway.timescale.write.name_ids import Dictionary


@asynccontextmanager
async def open_history(settings: Settings, dictionary: Dictionary) -> AsyncIterator[TimescaleHistory]:
    """Open the reader of history; nothing is connected yet on return."""
    history, database = settings.history, settings.database
    parameters = {
        "default_transaction_read_only": "on",
        "enable_sort": "off",  # groups are hashed: sorting millions of messages would go over the disk
        "jit": "off",  # compiling a statement takes longer than most of them
        "plan_cache_mode": "force_custom_plan",  # the plan hangs on how long the span is
        "statement_timeout": f"{history.timeout_secs * 1000:.0f}",
    }
    async with open_pool(
        database.url,
        name="gateway-history",
        size=history.pool,
        connect_timeout=database.connect_timeout_secs,
        command_timeout=history.timeout_secs + MARGIN_SECS,
        parameters=parameters,
        lineage=dictionary.lineage,
    ) as pool:
        yield TimescaleHistory(pool, dictionary, history)
