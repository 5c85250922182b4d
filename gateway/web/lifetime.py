"""Sanic's start and stop in, an opened and closed `Context` out. Owns nothing but the order of things.

On SIGTERM: /readyz turns 503 and replies end their connections, the port stays open for `drain_secs` so that load
balancers notice, Sanic closes the port and waits for requests in hand, and only then are the parts closed.
"""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack

from gateway.core.errors import GatewayError
from gateway.core.settings import Settings
from gateway.telemetry import events, ledger_events
from gateway.web.context import Context
from gateway.web.server.sanic import App

OpenRuntime = Callable[[Settings, str], AbstractAsyncContextManager[Context]]
"""(settings, the worker's name) → an opened context, closed at exit."""

CLOSE_SECS = 30.0
"""Longest wait for the parts to close; whatever was acknowledged is durable long before."""
LONE_WORKER = "worker"
"""The name of a process without siblings, as in tests."""


class Lifetime:
    """The listeners of one app."""

    def __init__(self, settings: Settings, open_runtime: OpenRuntime, worker: str) -> None:
        self._settings = settings
        self._open_runtime = open_runtime
        self._parts = AsyncExitStack()
        self._worker = worker

    async def open(self, app: App) -> None:
        """Open the parts before the first connection is taken. Raises GatewayError, and has it in the log."""
        try:
            runtime = self._open_runtime(self._settings, self._worker)
            context = await self._parts.enter_async_context(runtime)
            context.document = app.ctx.openapi
            app.ctx.gateway = context
            await self._parts.enter_async_context(context.watch.looking())
        except GatewayError as exc:
            events.worker_failed(self._worker, exc.message)
            raise
        events.worker_ready(self._worker)

    async def drain(self, app: App) -> None:
        """Say that no traffic should come any more, and keep serving while that becomes known."""
        context: Context = app.ctx.gateway
        context.draining = True
        context.streams.drain()
        secs = self._settings.http.drain_secs
        events.worker_draining(self._worker, secs)
        await asyncio.sleep(secs)

    async def close(self, _app: App) -> None:
        """Close the parts, after the last request."""
        try:
            async with asyncio.timeout(CLOSE_SECS):
                await self._parts.aclose()
        except TimeoutError:
            events.worker_stuck(self._worker, CLOSE_SECS)
        ledger_events.closed(self._worker)
        events.worker_stopped(self._worker)
