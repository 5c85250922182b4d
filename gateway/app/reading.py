"""The ways out, opened: the newest state, stored history and the stream of changes. Never writes readings."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from gateway.app.history import open_history
from gateway.app.live import open_streams
from gateway.app.registry import Registry
from gateway.app.storage import Storage
from gateway.core.settings import Settings
from gateway.state.read import NewestReader
from gateway.web.context import ReadParts


@asynccontextmanager
async def open_reading(
    settings: Settings, registry: Registry, storage: Storage, *, live: NewestReader
) -> AsyncIterator[ReadParts]:
    """Open what reads on connections of its own; it opens while Redis and the database are away."""
    async with AsyncExitStack() as stack:
        streams = await stack.enter_async_context(open_streams(settings, registry, storage, live))
        stored = await stack.enter_async_context(open_history(settings, registry.dictionary))
        yield ReadParts(live, stored, streams)
