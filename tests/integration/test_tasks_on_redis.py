"""Work on a real Redis that is ended has ended, whichever moment it is cancelled in."""

import asyncio
from random import Random

import pytest
import redis.asyncio

from gateway.core import tasks
from gateway.core.tasks import end

SOON = 20.0


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "AGAIN_SECS", 0.01)


async def test_work_on_redis_ends_in_whichever_moment_it_is_cancelled(valkey: str) -> None:
    """On Python 3.11 a third of these did not hear the first cancellation: redis-py writes through `wait_for`."""
    rng = Random(1)
    async with redis.asyncio.from_url(valkey, socket_timeout=SOON) as client:

        async def ask() -> None:
            while True:
                await client.ping()

        for _ in range(60):
            task = asyncio.create_task(ask())
            for _ in range(rng.randrange(3, 12)):
                await asyncio.sleep(0)
            async with asyncio.timeout(SOON):
                await end(task)
            assert task.cancelled()
