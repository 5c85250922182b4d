"""A registry on a real database, whose newest values are in memory."""

from collections.abc import AsyncIterator

import pytest

from gateway.services.registry import Registrar, build_registrar
from gateway.timescale.connections.pool import Pool, open_pool
from tests.fakes.clock import ManualClock
from tests.fakes.state import MemoryState
from tests.integration.writing import SOON
from tests.servers.databases import Database


@pytest.fixture
async def pool(database: Database) -> AsyncIterator[Pool]:
    async with open_pool(database.url, name="test", size=4, connect_timeout=SOON, command_timeout=SOON) as pool:
        yield pool


@pytest.fixture
def state() -> MemoryState:
    return MemoryState()


@pytest.fixture
def book(pool: Pool, state: MemoryState) -> Registrar:
    return build_registrar(pool, state, clock=ManualClock())
