"""A client that hangs up is counted as gone: no failure of ours, no problem that anybody was told of."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from gateway.core.settings import HttpSettings
from gateway.domain.model import Receipt
from gateway.telemetry import exposition
from tests.integration.test_web_express import BODY, request, until
from tests.integration.twin_doors import StoringDoor
from tests.integration.web_server import Door, serving
from tests.integration.web_wire import Wire, head

Counted = dict[tuple[str, ...], float]
POST = head("/v1/readings", "Content-Length: 900")


@pytest_asyncio.fixture(name="door")
async def running() -> AsyncIterator[Door]:
    async with serving() as door:
        yield door


def counted() -> Counted:
    """Requests by route and status, and problems by code."""
    return {
        tuple(sample.labels.values()): sample.value
        for family in exposition.families()
        if family.name in ("gateway_http_requests", "gateway_http_problems")
        for sample in family.samples
        if sample.name.endswith("_total") and sample.labels.get("route") != "livez"
    }


def since(before: Counted) -> Counted:
    return {labels: n - before.get(labels, 0.0) for labels, n in counted().items() if n != before.get(labels, 0.0)}


async def handled(door: Door, condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            assert (await door.client.get("/livez")).status_code == 200


def served(door: Door) -> set[str]:
    """The routes of the requests that Sanic has in hand."""
    requests = [each.http.request for each in door.connections if each.http is not None]
    return {request.route.ctx.label for request in requests if request is not None and request.route is not None}


def hang_up(wire: Wire, *, reset: bool) -> None:
    """End a connection in order, or by a reset."""
    if reset:
        wire._writer.transport.abort()
    else:
        wire._writer.close()


@pytest.mark.parametrize("reset", [False, True], ids=["in order", "reset"])
@pytest.mark.parametrize(
    ("sent", "route"),
    [
        (POST + b"x" * 500, "readings"),
        (head("/v1/readings", "Transfer-Encoding: chunked") + b"5\r\nabc", "readings"),
        (head("/v1/devices:import", "Content-Length: 900", "Content-Type: text/csv") + b"x", "devices_import"),
    ],
)
async def test_while_it_sends(door: Door, wire: Wire, sent: bytes, route: str, *, reset: bool) -> None:
    before = counted()
    await wire.send(sent)
    await handled(door, lambda: route in served(door))
    hang_up(wire, reset=reset)
    await handled(door, lambda: since(before) != {})
    assert since(before) == {(route, "499"): 1.0}


@pytest.mark.parametrize("reset", [False, True], ids=["in order", "reset"])
async def test_while_it_waits_for_its_answer(door: Door, wire: Wire, *, reset: bool) -> None:
    entered, left = asyncio.Event(), asyncio.Event()

    async def slow(_: bytes) -> Receipt:
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            left.set()
        raise AssertionError

    door.intake.answer = slow
    before = counted()
    await wire.send(head("/v1/readings", "Content-Length: 2") + b"{}")
    async with asyncio.timeout(10):
        await entered.wait()
        hang_up(wire, reset=reset)
        await left.wait()
    await handled(door, lambda: since(before) != {})
    assert since(before) == {("readings", "499"): 1.0}


async def test_while_its_readings_wait_to_be_committed_at_once() -> None:
    async with serving(HttpSettings(drain_secs=0, grace_secs=5), make=StoringDoor) as door:
        assert isinstance(door, StoringDoor)
        wire = await door.raw()
        assert (await wire.post(BODY)).status == 200
        before, taken = counted(), door.taken_at_once
        door.sink.hold()
        await wire.send(request(1))
        await until(lambda: door.taken_at_once == taken + 1)
        await wire.close()
        await until(lambda: since(before) != {})
        door.sink.release()
        await until(lambda: door.committer.in_hand == 0)
        assert since(before) == {("readings", "499"): 1.0}


async def test_a_connection_that_ends_amid_a_head_is_no_request(door: Door, wire: Wire) -> None:
    assert (await wire.post(b"{}")).status == 200
    before = counted()
    await wire.send(POST[:40])
    await wire.close()
    await handled(door, lambda: len(door.connections) <= 1)
    assert since(before) == {}
