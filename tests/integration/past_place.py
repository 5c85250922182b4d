"""In: a database. Out: the HTTP door with history behind it, and a few rows to ask for. Knows no test."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx

from gateway.domain.model import Value
from tests.builders.batches import SECOND
from tests.builders.past import Past, open_past
from tests.integration.web_server import Door, serving
from tests.servers.databases import Databases

START = "2023-11-14T22:13:20Z"
"""NOON of tests.builders.batches."""
RANGE = f"from={START}&to=2023-11-15T22:13:20Z"
BASE = "/v1/devices/d1/readings"
NDJSON = {"Accept": "application/x-ndjson"}
CSV = {"Accept": "text/csv"}
BIG = 2**63 - 1


class Place:
    def __init__(self, door: Door, past: Past) -> None:
        self.door = door
        self.past = past
        self.client = door.client

    async def get(self, path: str, **headers: str) -> Any:
        got = await self.client.get(path, headers=headers)
        assert got.status_code == 200, got.text
        return got.json()

    async def refused(self, path: str, *, token: str = "admin") -> dict[str, Any]:
        got = await self.client.get(path, headers={"Authorization": f"Bearer {token}"})
        assert got.headers["content-type"] == "application/problem+json", got.text
        problem: dict[str, Any] = got.json()
        assert problem["status"] == got.status_code
        return problem


@contextmanager
def one_database(databases: Databases) -> Iterator[str]:
    """A database for all tests of a module, which use devices of their own."""
    with asyncio.Runner() as runner:
        database = databases.migrated()
        yield runner.run(database.__aenter__()).url
        runner.run(database.__aexit__(None, None, None))


@asynccontextmanager
async def open_place(url: str) -> AsyncIterator[Place]:
    """Serve what is stored; the same rows are there each time."""
    async with serving() as door, open_past(url) as past:
        door.context.stored = past.history
        every: dict[str, Value] = {"a": 21.5, "on": True, "n": BIG, "s": 'say "hi",\n21.5'}
        await past.store(("d1", 0, every), ("d2", 1, {"a": 0.1}), ("d1", 2 * SECOND, {"a": 1e22}))
        await past.gateway.dictionary.device_ids(["silent"])
        yield Place(door, past)


def lines(got: httpx.Response) -> list[dict[str, Any]]:
    assert got.status_code == 200, got.text
    return [json.loads(line) for line in got.text.splitlines()]
