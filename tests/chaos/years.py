"""A device that comes back after years and sends them all at once, amid an outage. Counts what is stored."""

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from random import Random
from typing import Any

import asyncpg
import httpx

from tests.chaos.scene import Scene
from tests.e2e.serving import ADMIN_KEY, wait_for
from tests.servers import plain_http

DAYS = 2_500
"""A chunk each: in one transaction they would need twice the locks that the server has."""
DAY_SECS = 86_400
POST_SECS, STORED_SECS = 120.0, 120.0
STEP_DAYS = 300
"""Chunks that are looked at, or dropped, at once."""
_numbers = count()


def years_sent(scene: Scene, rng: Random) -> float:
    """A reading a day over seven years in one body, while the database is killed; others must not stand behind it."""
    device = f"years-{next(_numbers)}-{rng.randrange(10**9)}"
    with ThreadPoolExecutor(1) as threads:
        sending = threads.submit(_post, scene.gateway.url, device)
        time.sleep(rng.uniform(0.2, 3))
        scene.ground.postgres.kill()
        time.sleep(rng.uniform(0, 2))
        scene.ground.postgres.start()
        answer = sending.result(POST_SECS)
    assert answer["accepted"] == DAYS, answer
    url = scene.ground.postgres.url()
    wait_for(lambda: asyncio.run(_count(url, device)) == DAYS, lambda: f"all of {device} is stored", secs=STORED_SECS)
    asyncio.run(_drop(url))
    return time.monotonic()


def _post(url: str, device: str) -> dict[str, Any]:
    newest = int(time.time()) // DAY_SECS * DAY_SECS - 2 * DAY_SECS
    body = {
        "device": device,
        "ts": [(newest - n * DAY_SECS) * 1000 for n in range(DAYS)],
        "values": {"v": [float(n) for n in range(DAYS)]},
    }
    headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
    answer = plain_http.post(f"{url}/v1/readings", json=body, headers=headers, timeout=POST_SECS)
    assert answer.status_code == httpx.codes.OK, answer.text
    found: dict[str, Any] = answer.json()
    return found


def _spans() -> Iterator[tuple[float, float]]:
    """The past in steps, the oldest first; seconds since 1970."""
    end = time.time() - 1.5 * DAY_SECS
    for step in range(DAYS // STEP_DAYS + 2, 0, -1):
        yield end - step * STEP_DAYS * DAY_SECS, end - (step - 1) * STEP_DAYS * DAY_SECS


async def _count(url: str, device: str) -> int:
    statement = """
    select count(*) from messages where device_id = (select id from devices where name = $1)
        and time >= to_timestamp($2) and time < to_timestamp($3)
    """
    connection = await asyncpg.connect(url, timeout=10, command_timeout=10)
    try:  # a plan for any time would need all the locks there are
        await connection.execute("set plan_cache_mode = force_custom_plan")
        return sum([await connection.fetchval(statement, device, start, end) for start, end in _spans()])
    finally:
        await connection.close(timeout=10)


async def _drop(url: str) -> None:
    """Leave the next rounds a database without these years."""
    connection = await asyncpg.connect(url, timeout=10, command_timeout=30)
    try:
        for _, end in _spans():
            await connection.execute("select drop_chunks('messages', older_than => to_timestamp($1))", end)
    finally:
        await connection.close(timeout=10)
