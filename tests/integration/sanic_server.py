"""A Sanic server in this process, from its start to its end. In: an app and a socket that listens. Out: the server."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from gateway.web.server.sanic import App


@asynccontextmanager
async def running(app: App, listening: socket.socket, **more: Any) -> AsyncIterator[Any]:
    """Serve until the end of the block, however it ends.

    What a failing test leaves open may go on for ever, and the worker with it: a loop that is closed cancels each task
    once, and up to Python 3.11 some need a second time (see gateway/ending.py).
    """
    server: Any = await app.create_server(sock=listening, return_asyncio_server=True, **more)
    await server.startup()
    await server.before_start()
    await server.after_start()
    try:
        yield server
    finally:
        if not app.ctx.gateway.draining:
            await server.before_stop()
        await server.close()
        for connection in list(server.connections):
            connection.close_if_idle()
        await server.after_stop()
