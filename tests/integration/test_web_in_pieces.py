"""A plain request whose body comes after its head: served at once when it is whole, and Sanic's in any doubt."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from functools import partial

import orjson
import pytest
import pytest_asyncio

from gateway.core.settings import HttpSettings, QueueSettings
from tests.integration.twin_doors import StoringDoor, twins
from tests.integration.web_server import NOW_US, serving
from tests.integration.web_wire import Wire, head

BODY = orjson.dumps({"device": "d1", "ts": NOW_US // 1000, "values": {"t": 1.5, "h": 2.5}})
HEAD = head("/v1/readings", f"Content-Length: {len(BODY)}")
LAST = b"GET /livez HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n"
HTTP = HttpSettings(drain_secs=0, grace_secs=5, body_deadline_secs=0.3)
WAIT_SECS = 5.0


@pytest_asyncio.fixture(name="door")
async def running() -> AsyncIterator[StoringDoor]:
    async with serving(HTTP, make=StoringDoor) as door:
        assert isinstance(door, StoringDoor)
        yield door
        assert door.context.bodies.inflight_bytes == 0


@pytest_asyncio.fixture(name="wire")
async def known(door: StoringDoor) -> AsyncIterator[Wire]:
    """A connection whose token, device and layout the door knows already."""
    wire = await door.raw()
    assert (await wire.post(BODY)).status == 200
    door.storing.taken = 0
    yield wire
    await wire.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_SECS):
        while not condition():  # noqa: ASYNC110 - conditions of several kinds
            await asyncio.sleep(0.002)


async def held(door: StoringDoor, wire: Wire, data: bytes) -> None:
    """Send the beginning of a request, and wait until it is held back."""
    before = door.budgets.held
    await wire.send(data)
    await until(lambda: door.budgets.held == before + 1)


async def test_wherever_it_is_cut_it_is_answered_as_by_sanic_and_after_the_head_at_once() -> None:
    whole = HEAD + BODY
    async with twins() as doors:
        for door in doors:
            await door.converse([whole, LAST])
        for at in range(1, len(whole)):
            taken, holding = doors.ours.taken_at_once, doors.ours.budgets.held
            pieces = [whole[:at], whole[at:], LAST]
            assert await doors.ours.converse(pieces) == await doors.sanic.converse(pieces)
            after_head = at >= len(HEAD)
            assert doors.ours.budgets.held - holding == after_head
            assert doors.ours.taken_at_once - taken == after_head


async def test_a_body_may_come_byte_by_byte(door: StoringDoor, wire: Wire) -> None:
    await held(door, wire, HEAD)
    for at in range(10):
        await wire.send(BODY[at : at + 1])
        await until(lambda: door.context.bodies.inflight_bytes == len(HEAD) + at + 1)  # noqa: B023 - awaited here
    assert door.context.bodies.inflight_bytes == len(HEAD) + 10
    await wire.send(BODY[10:])
    answer = await wire.answer()
    assert orjson.loads(answer.body)["duplicates"] == 2
    assert door.taken_at_once == 1


async def test_the_next_request_may_come_with_the_rest(door: StoringDoor, wire: Wire) -> None:
    await held(door, wire, HEAD)
    await wire.send(BODY + head("/v1/readings", "Content-Length: 2", "X-Request-Id: next") + b"[]")
    assert (await wire.answer()).status == 200
    assert (await wire.answer()).headers["x-request-id"] == "next"
    assert door.taken_at_once == 0  # it was Sanic who read both


async def test_a_body_that_takes_longer_is_waited_for_as_ever(door: StoringDoor, wire: Wire) -> None:
    await held(door, wire, HEAD)
    await until(lambda: door.context.bodies.inflight_bytes == 0)
    await wire.send(BODY)
    assert (await wire.answer()).status == 200
    assert door.taken_at_once == 0
    await wire.send(HEAD + BODY)
    assert (await wire.answer()).status == 200
    assert door.taken_at_once == 1  # the connection is as good as before


async def test_a_body_that_never_comes_meets_its_deadline(door: StoringDoor, wire: Wire) -> None:
    await held(door, wire, HEAD + BODY[:5])
    answer = await wire.answer()
    assert (answer.status, orjson.loads(answer.body)["code"]) == (408, "body_timeout")


async def test_a_client_that_goes_leaves_nothing_behind(door: StoringDoor, wire: Wire) -> None:
    await held(door, wire, HEAD)
    await wire.close()
    await until(lambda: door.context.bodies.inflight_bytes == 0)
    assert door.taken_at_once == 0


async def test_a_server_that_stops_waits_for_the_rest(door: StoringDoor, wire: Wire) -> None:
    await held(door, wire, HEAD)
    await door.stop()
    for connection in list(door.connections):
        connection.close_if_idle()
    await wire.send(BODY)
    answer = await wire.answer()
    assert answer.status == 200
    assert answer.headers["connection"] == "close"
    assert await wire.is_closed()


async def test_a_server_that_stops_does_not_wait_for_ever(door: StoringDoor, wire: Wire) -> None:
    await held(door, wire, HEAD)
    await door.stop()
    answer = await wire.answer()
    assert (answer.status, answer.headers["connection"]) == (408, "close")


@pytest.mark.parametrize(
    ("start", "status"),
    [
        (head("/v1/readings", "Content-Length: 10", token="nobody"), 401),
        (head("/v1/readings", "Content-Length: 10", token="reader"), 403),
        (head("/v1/devices/d2/readings", "Content-Length: 10", token="d1"), 403),
        (head("/v1/readings", f"Content-Length: {9 * 2**20}"), 413),
    ],
)
async def test_what_is_refused_is_refused_before_its_body(
    door: StoringDoor, wire: Wire, start: bytes, status: int
) -> None:
    await wire.send(start)
    assert (await wire.answer()).status == status
    assert door.budgets.held == 0


async def test_while_the_queue_is_full_nothing_is_held() -> None:
    async with (
        serving(HTTP, make=partial(StoringDoor, queue=QueueSettings(max_rows=1))) as door,
        AsyncExitStack() as stack,
    ):
        assert isinstance(door, StoringDoor)
        wires = [await door.raw() for _ in range(4)]
        for wire in wires:
            stack.push_async_callback(wire.close)
        assert (await wires[0].post(BODY)).status == 200
        door.sink.hold()
        await wires[0].send(HEAD + BODY)  # a slot has it in hand
        await until(lambda: door.committer.in_hand == 1)
        await wires[1].send(HEAD + BODY)  # it fills the queue
        await until(lambda: door.committer.batcher.rows == 1)
        assert (await wires[2].post(BODY)).status == 503
        await wires[3].send(HEAD)
        assert (await wires[3].answer()).status == 503
        assert door.budgets.held == 0
        door.sink.release()
        assert [(await wire.answer()).status for wire in wires[:2]] == [200, 200]


@pytest.mark.parametrize("length", [2**18, 2**18 - len(HEAD) + 10])
async def test_a_body_larger_than_the_read_ahead_is_not_held(door: StoringDoor, wire: Wire, length: int) -> None:
    start = head("/v1/readings", f"Content-Length: {length}")
    await wire.send(start)
    await wire.send(b" " * length)
    assert (await wire.answer()).status == 400
    assert door.budgets.held == 0


async def test_without_room_in_hand_nothing_is_held(door: StoringDoor, wire: Wire) -> None:
    others = door.context.http.max_inflight_bytes - len(BODY) + 1
    door.context.bodies.inflight_bytes += others
    await wire.send(HEAD + BODY[:1])
    await wire.send(BODY[1:])
    answer = await wire.answer()
    assert (answer.status, orjson.loads(answer.body)["limit"]) == (503, "http.max_inflight_bytes")
    assert door.budgets.held == 0
    door.context.bodies.inflight_bytes -= others


async def test_what_is_held_is_given_to_sanic_when_the_room_is_gone(door: StoringDoor, wire: Wire) -> None:
    await held(door, wire, HEAD)
    others = door.context.http.max_inflight_bytes - len(HEAD)
    door.context.bodies.inflight_bytes += others
    await wire.send(BODY[:1])
    await until(lambda: door.context.bodies.inflight_bytes == others + 1)
    door.context.bodies.inflight_bytes -= others
    await wire.send(BODY[1:])
    assert (await wire.answer()).status == 200
    assert door.taken_at_once == 0


@pytest.mark.parametrize("more", [[], ["X-Unknown: by Sanic"]], ids=["held", "sanic"])
async def test_a_credential_that_ends_while_the_body_is_on_its_way_is_refused(
    door: StoringDoor, wire: Wire, more: list[str]
) -> None:
    begun = door.budgets.held
    await wire.send(head("/v1/readings", f"Content-Length: {len(BODY)}", *more) + BODY[:5])
    await until(lambda: door.budgets.held == begun + 1 or door.context.bodies.inflight_bytes > 0)
    del door.authenticator.tokens["admin"]
    await wire.send(BODY[5:])
    answer = await wire.answer()
    assert (answer.status, orjson.loads(answer.body)["code"]) == (401, "unauthorized")
    assert door.storing.taken == 0
