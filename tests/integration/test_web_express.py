"""Plain requests: taken at once, answered in order, given up with their client, finished when the server stops."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from functools import partial

import orjson
import pytest
import pytest_asyncio

from gateway.core.errors import SinkFault
from gateway.core.settings import HttpSettings, QueueSettings
from gateway.telemetry import ledger_events
from tests.integration.twin_doors import StoringDoor
from tests.integration.web_server import NOW_US, serving
from tests.integration.web_wire import Wire, head

BODY = orjson.dumps({"device": "d1", "ts": NOW_US // 1000, "values": {"t": 1.5, "h": 2.5}})
WAIT_SECS = 5.0


@pytest_asyncio.fixture(name="door")
async def running() -> AsyncIterator[StoringDoor]:
    async with serving(HttpSettings(drain_secs=0, grace_secs=5), make=StoringDoor) as door:
        assert isinstance(door, StoringDoor)
        yield door


@pytest_asyncio.fixture(name="wire")
async def known(door: StoringDoor) -> AsyncIterator[Wire]:
    """A connection whose token, device and layout the door knows already."""
    wire = await door.raw()
    assert (await wire.post(BODY)).status == 200
    yield wire
    await wire.close()


def request(number: int, *lines: str) -> bytes:
    body = orjson.dumps({"device": "d1", "ts": NOW_US // 1000 + number, "values": {"t": 1.5, "h": 2.5}})
    return head("/v1/readings", f"Content-Length: {len(body)}", f"X-Request-Id: r{number}", *lines) + body


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_SECS):
        while not condition():  # noqa: ASYNC110 - conditions of several kinds
            await asyncio.sleep(0.002)


async def test_what_is_known_is_taken_at_once(door: StoringDoor, wire: Wire) -> None:
    before = door.taken_at_once
    await wire.send(request(1))
    answer = await wire.answer()
    assert orjson.loads(answer.body)["accepted"] == 2
    assert answer.headers["x-request-id"] == "r1"
    assert door.taken_at_once == before + 1


async def test_what_is_not_plain_is_not(door: StoringDoor, wire: Wire) -> None:
    before = door.taken_at_once
    await wire.send(request(1, "X-Unheard-Of: 1"))
    assert (await wire.answer()).status == 200
    assert door.taken_at_once == before


async def test_requests_that_come_meanwhile_wait_and_are_answered_in_order(door: StoringDoor, wire: Wire) -> None:
    door.sink.hold()
    before = door.taken_at_once
    await wire.send(request(1))
    await until(lambda: door.taken_at_once == before + 1)
    for number in (2, 3, 4):
        await wire.send(request(number))
    door.sink.release()
    assert [(await wire.answer()).headers["x-request-id"] for _ in range(4)] == ["r1", "r2", "r3", "r4"]
    assert len(door.sink.messages) == 5
    await wire.send(request(5))
    assert (await wire.answer()).headers["x-request-id"] == "r5"


async def test_a_client_that_goes_takes_its_readings_along_while_they_wait(door: StoringDoor, wire: Wire) -> None:
    door.sink.hold()
    before, failed = door.taken_at_once, ledger_events.read().sources["http"].failed
    await wire.send(request(1))  # a slot has it in hand
    await until(lambda: door.committer.in_hand == 1)
    gone = await door.raw()
    await gone.send(request(2))  # this one waits in the queue
    await until(lambda: door.taken_at_once == before + 2)
    await gone.close()
    await until(lambda: ledger_events.read().sources["http"].failed == failed + 2)
    door.sink.release()
    assert (await wire.answer()).status == 200
    assert len(door.sink.messages) == 2
    assert door.context.bodies.inflight_bytes == 0
    assert ledger_events.read().sources["http"].queued == 0


async def test_a_full_queue_is_said_as_ever_and_nothing_more_is_decoded() -> None:
    make = partial(StoringDoor, queue=QueueSettings(max_rows=1))
    async with serving(HttpSettings(drain_secs=0, grace_secs=5), make=make) as door, AsyncExitStack() as stack:
        assert isinstance(door, StoringDoor)
        wires = [await door.raw() for _ in range(4)]
        for wire in wires:
            stack.push_async_callback(wire.close)
        assert (await wires[0].post(BODY)).status == 200
        door.sink.hold()
        await wires[0].send(request(1))  # a slot has it in hand
        await until(lambda: door.committer.in_hand == 1)
        await wires[1].send(request(2))  # it fills the queue
        await until(lambda: door.committer.batcher.rows == 1)
        taken = door.taken_at_once
        for wire in wires[2:]:
            await wire.send(request(3))
            refused = await wire.answer()
            assert (refused.status, orjson.loads(refused.body)["limit"]) == (503, "queue.max_rows")
        assert door.taken_at_once == taken
        assert not door.committer.is_open
        door.sink.release()
        assert [(await wire.answer()).status for wire in wires[:2]] == [200, 200]


@pytest.mark.parametrize("path", ["/v1/readings", "/v1/devices/d1/readings"])
async def test_a_write_that_fails_is_the_problem_it_always_is(door: StoringDoor, wire: Wire, path: str) -> None:
    door.sink.failure = SinkFault("the disk is full")
    before = door.taken_at_once
    answers = []
    for more in ((), ("X-Unheard-Of: 1",)):
        answer = await wire.post(BODY, path=path, more=("X-Request-Id: mine", *more))
        problem = orjson.loads(answer.body)
        problem.pop("retry_after", None)
        answers.append((answer.status, problem, answer.headers["content-type"], answer.headers["connection"]))
    assert answers[0] == answers[1]
    assert answers[0][1]["code"] == "database_fault"
    assert answers[0][1]["request_id"] == "mine"
    assert door.taken_at_once == before + 1


async def test_a_server_that_stops_answers_first_and_then_closes(door: StoringDoor, wire: Wire) -> None:
    door.sink.hold()
    before = door.taken_at_once
    await wire.send(request(1))
    await until(lambda: door.taken_at_once == before + 1)
    await door.stop()
    for connection in list(door.connections):
        connection.close_if_idle()
    door.sink.release()
    answer = await wire.answer()
    assert answer.status == 200
    assert answer.headers["connection"] == "close"
    assert await wire.is_closed()


async def test_states_are_answered_at_once_and_with_their_tag(door: StoringDoor, wire: Wire) -> None:
    ask = "GET /v1/devices/d1/state HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer admin\r\n"
    await wire.send(f"{ask}\r\n".encode())
    answer = await wire.answer()
    assert orjson.loads(answer.body)["device"] == "d1"
    assert door.live.asked_soon == 1
    await wire.send(f"{ask}If-None-Match: {answer.headers['etag']}\r\n\r\n".encode())
    assert (await wire.answer()).status == 304
    assert door.live.asked_soon == 2
