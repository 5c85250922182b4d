"""The stream of changes, opened: the log in Redis, what tells device names and newest values, and the readers."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from gateway.app.pools import named_pool
from gateway.app.registry import Registry
from gateway.app.storage import Storage
from gateway.core.settings import Settings
from gateway.live.streams import Streams
from gateway.state.change_log import open_change_log
from gateway.state.read import NewestReader
from gateway.timescale.registry.tags import TagIndex


@asynccontextmanager
async def open_streams(
    settings: Settings, registry: Registry, storage: Storage, live: NewestReader
) -> AsyncIterator[Streams]:
    """Open what serves readers of changes; it opens while Redis and the database are away."""
    async with AsyncExitStack() as stack:
        log = open_change_log(settings.redis, settings.live, site=lambda: storage.state.site)
        pool = await stack.enter_async_context(named_pool(settings, "gateway-live", size=1, lineage=registry.lineage))
        streams = Streams(
            await stack.enter_async_context(log),
            registry.dictionary,
            by_tag=TagIndex(pool),
            states=live,
            limits=settings.live,
        )
        registry.listeners.append(streams.devices_changed)
        yield await stack.enter_async_context(streams)
