"""Bodies that are made to cost, over HTTP: none takes the event loop for long, none costs many times an honest one.

What is measured is CPU time of this thread: of each turn of the loop, and of a whole request. The sink does what the
writer does before it waits for the database.
"""

import asyncio
import gc
import gzip
import random
import time
from collections.abc import AsyncIterator, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import orjson
import pytest
import pytest_asyncio

from gateway.app.worker import COLLECTIONS
from gateway.core.settings import HttpSettings, Settings
from gateway.domain.contracts.ingest import Written
from gateway.domain.model import Batch
from gateway.timescale.write import copy_format
from gateway.timescale.write.assemble import Group
from tests.builders.costly import FLAT, Costly, array, bodies
from tests.fakes.sink import MemorySink
from tests.integration.twin_doors import StoringDoor
from tests.integration.web_server import NOW_US, serving
from tests.integration.web_wire import Answer

TURN_SECS = 0.05
"""What a body may take of one turn of the loop, on a quiet machine."""
QUIET_SECS = 0.012
"""What an honest body of ten thousand readings costs on a quiet machine; on a busy one all takes as much longer."""
MOST = 20
"""How many times as much as an honest body of the same compressed size a body may cost."""
COSTLY = bodies()


class ArrangingSink(MemorySink):
    """Does what the writer does with a group, and stores nothing."""

    async def write(self, group: Sequence[Batch], *, atomic: bool = False) -> Written:  # noqa: ARG002
        arranged = Group(group)
        ids = {name: number for number, name in enumerate(dict.fromkeys(arranged.names), 1)}
        await asyncio.sleep(0)
        devices = np.array([ids[name] for name in arranged.names], np.int32)
        parts = arranged.blocks(devices, range(1, len(arranged.layouts) + 1), last_wins=False)
        await asyncio.sleep(0)
        copy_format.encode([part.block for part in parts])
        return Written(arranged.outcomes(), [])


class CostlyDoor(StoringDoor):
    """A door that takes large bodies."""

    max_readings = 100_000

    def __init__(self, tree: Settings) -> None:
        super().__init__(tree)
        self.sink = ArrangingSink()


class Cost(NamedTuple):
    """What a request cost."""

    answer: Answer
    cpu_secs: float
    turn_secs: float
    """The most of one turn of the loop."""


class Meter:
    """Measures the turns of the loop."""

    def __init__(self) -> None:
        self.worst = 0.0
        self._task = asyncio.create_task(self._measure())

    async def _measure(self) -> None:
        while True:
            began = time.thread_time()
            await asyncio.sleep(0)
            self.worst = max(self.worst, time.thread_time() - began)

    def stop(self) -> float:
        self._task.cancel()
        return self.worst


@pytest_asyncio.fixture(name="door", scope="module", loop_scope="module")
async def running() -> AsyncIterator[CostlyDoor]:
    http = HttpSettings(drain_secs=0, grace_secs=1, max_body_bytes=2**26, max_inflated_bytes=2**26)
    async with serving(http, make=CostlyDoor) as door:
        assert isinstance(door, CostlyDoor)
        before = gc.get_threshold()
        gc.collect()
        gc.freeze()  # as the gateway does
        gc.set_threshold(*COLLECTIONS)
        yield door
        gc.set_threshold(*before)
        gc.unfreeze()


async def post(door: CostlyDoor, body: bytes, *more: str) -> Cost:
    wire = await door.raw()
    await asyncio.sleep(0)
    meter, began = Meter(), time.thread_time()
    answer = await wire.post(body, more=more)
    cost = Cost(answer, time.thread_time() - began, meter.stop())
    await wire.close()
    return cost


@cache
def honest(messages: int) -> bytes:
    """An honest body: messages of five metrics, of which a decimal or two change."""
    chance = random.Random(1)
    items = [
        {
            "device": "d1",
            "ts": NOW_US // 1000 - number,
            "values": {f"metric_{n}": round(chance.uniform(10, 30), 1) for n in range(5)},
        }
        for number in range(messages)
    ]
    return gzip.compress(orjson.dumps(items), 6)


async def usual_cost(door: CostlyDoor, size: int) -> float:
    """What an honest body of this compressed size costs, in seconds: as measured, or as several that are as large."""
    each = len(honest(2000)) / 2000
    body = honest(max(1, min(18_000, int(size / each))))
    cost = await post(door, body, "Content-Encoding: gzip")
    assert cost.answer.status == 200
    return cost.cpu_secs * max(1.0, size / len(body))


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("costly", COSTLY, ids=[each.name for each in COSTLY])
async def test_a_costly_body_leaves_the_loop_to_others_and_costs_what_others_do(
    door: CostlyDoor, costly: Costly
) -> None:
    plainly = await post(door, costly.body)
    assert plainly.answer.status == costly.status
    packed = gzip.compress(costly.body, 6)
    compressed = await post(door, packed, "Content-Encoding: gzip")
    assert compressed.answer.status in (costly.status, 413)
    usual = await usual_cost(door, len(packed))
    slowness = await usual_cost(door, len(honest(2000))) / QUIET_SECS
    assert max(plainly.turn_secs, compressed.turn_secs) < TURN_SECS * max(1.0, slowness)
    assert compressed.cpu_secs < MOST * usual


@pytest.mark.asyncio(loop_scope="module")
async def test_the_largest_honest_bodies_leave_the_loop_to_others(door: CostlyDoor) -> None:
    slowness = await usual_cost(door, len(honest(2000))) / QUIET_SECS
    for body in (honest(20_000), gzip.compress(array([FLAT] * 100_000), 1)):
        cost = await post(door, body, "Content-Encoding: gzip")
        assert (cost.answer.status, orjson.loads(cost.answer.body)["accepted"]) == (200, 100_000)
        assert cost.turn_secs < TURN_SECS * max(1.0, slowness)
