"""A gateway that nobody asks anything: what it asks the database itself stays little."""

import asyncio
import time

import pytest

from tests.e2e.conftest import Serve
from tests.e2e.test_write_revoked import post
from tests.integration.writing import fetch
from tests.servers.databases import Database

WINDOW_SECS, WINDOWS = 4.0, 4
"""The server counts sessions up to a second late, and there is more to ask at the start."""
MOST = 8.0
"""Transactions a second, where it takes 5 or 6; 14 when each look was several, and each was followed by a reset."""
COUNT = "select xact_commit + xact_rollback from pg_stat_database where datname = current_database()"


async def rate(url: str) -> float:
    ((before,),) = await fetch(url, COUNT)
    began = time.monotonic()
    await asyncio.sleep(WINDOW_SECS)
    ((after,),) = await fetch(url, COUNT)
    return float(after - before) / (time.monotonic() - began)


@pytest.mark.slow
async def test_it_hardly_asks_the_database(serve: Serve, timescale_db: Database) -> None:
    gateway = serve(mqtt=False)
    assert await post(gateway, 1) == "db"
    assert min([await rate(timescale_db.url) for _ in range(WINDOWS)]) < MOST
