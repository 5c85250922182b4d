"""In: a database and a Valkey. Out: whole gateways behind HTTP, in this process, with the parts of production."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from sanic import Sanic

from gateway.app.worker import open_runtime
from gateway.core.settings import (
    AuthSettings,
    DatabaseSettings,
    DeviceSettings,
    HttpSettings,
    RedisSettings,
    Settings,
    SpoolSettings,
)
from gateway.web.app import create_app
from gateway.web.context import Context
from tests.conformance import conform
from tests.integration.sanic_server import running
from tests.integration.web_server import OURS
from tests.integration.writing import execute
from tests.servers import plain_http

Sanic.test_mode = True  # several apps in one process
ADMIN = "the-admin-key"


class Whole:
    """A gateway, its client (with the admin's key) and its parts."""

    def __init__(self, client: httpx.AsyncClient, context: Context) -> None:
        self.client = client
        self.context = context

    async def call(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Send a request that must not fail by a mistake of ours."""
        got = await self.client.request(method, path, **more)
        assert got.status_code < 500, got.text
        return got

    async def json(self, method: str, path: str, *, status: int = 200, **more: Any) -> Any:
        """Return the body of an answer of this status."""
        got = await self.call(method, path, **more)
        assert got.status_code == status, f"{got.status_code}: {got.text}"
        return got.json() if got.content else None


def settings_of(database: str, valkey: str, folder: Path, *, unknown: str = "refuse") -> Settings:
    """Settings of a gateway for these servers, its spool in `folder`."""
    return Settings(
        http=HttpSettings(drain_secs=0, grace_secs=1),
        database=DatabaseSettings(url=database),
        redis=RedisSettings(url=valkey),
        auth=AuthSettings(admin_key=ADMIN, refresh_ms=50),
        devices=DeviceSettings(unknown="auto" if unknown == "auto" else "refuse"),
        spool=SpoolSettings(dir=str(folder)),
    )


async def empty(database: str) -> None:
    """Take everything out of the registry, in a way that gateways hear of."""
    for table in ("messages", "device_shapes", "credentials", "devices", "metrics", "declared_ints", "audit"):
        await execute(database, f"delete from {table}")


@asynccontextmanager
async def whole(settings: Settings) -> AsyncIterator[Whole]:
    """Serve until the end of the block, however it ends."""
    app = create_app(settings, open_runtime)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        headers = {"Authorization": f"Bearer {ADMIN}"}
        async with (
            running(app, listening, protocol=OURS),
            plain_http.AsyncClient(
                base_url=f"http://127.0.0.1:{port}",
                headers=headers,
                trust_env=False,
                event_hooks={"response": [conform]},
            ) as client,
        ):
            yield Whole(client, app.ctx.gateway)
