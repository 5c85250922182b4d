"""The ways out, opened: the newest state, stored history and the stream of changes. Never writes readings."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from gateway.app.pools import named_pool
from gateway.app.registry import Registry
from gateway.app.storage import Storage
from gateway.core.settings import Settings
from gateway.live.streams import Streams
from gateway.state.change_log import open_change_log
from gateway.state.read import NewestReader
from gateway.timescale.history.leases import MARGIN_SECS
from gateway.timescale.history.reader import TimescaleHistory
from gateway.timescale.registry.tags import TagIndex
from gateway.web.context import ReadParts

HISTORY = {
    "default_transaction_read_only": "on",
    "enable_sort": "off",  # groups are hashed: sorting millions of messages would go over the disk
    "jit": "off",  # compiling a statement takes longer than most of them
    "plan_cache_mode": "force_custom_plan",  # the plan hangs on how long the span is
}
"""Parameters of connections that read history: they never write, and end what takes too long."""


@asynccontextmanager
async def open_reading(
    settings: Settings, registry: Registry, storage: Storage, *, live: NewestReader
) -> AsyncIterator[ReadParts]:
    """Open what reads on connections of its own; it opens while Redis and the database are away."""
    history, lineage = settings.history, registry.lineage
    async with AsyncExitStack() as stack:
        log = open_change_log(settings.redis, settings.live, site=lambda: storage.state.site)
        tags = await stack.enter_async_context(named_pool(settings, "gateway-live", size=1, lineage=lineage))
        streams = Streams(
            await stack.enter_async_context(log),
            registry.dictionary,
            by_tag=TagIndex(tags),
            states=live,
            limits=settings.live,
        )
        registry.listeners.append(streams.devices_changed)
        await stack.enter_async_context(streams)
        stored = await stack.enter_async_context(
            named_pool(
                settings,
                "gateway-history",
                size=history.pool,
                lineage=lineage,
                command_secs=history.timeout_secs + MARGIN_SECS,
                parameters={**HISTORY, "statement_timeout": f"{history.timeout_secs * 1000:.0f}"},
            )
        )
        yield ReadParts(live, TimescaleHistory(stored, registry.dictionary, history), streams)
