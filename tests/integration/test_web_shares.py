"""A credential that asks for much at once over a socket: it waits for itself, and others are served beside it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx
import pytest
import pytest_asyncio

from gateway.core.settings import LimitSettings
from gateway.domain.contracts.newest import DeviceState
from gateway.telemetry import prometheus
from gateway.web import context
from tests.integration.tight import code_of
from tests.integration.web_server import Door, ScriptedLive, known_state, serving
from tests.integration.web_wire import head

FEW = LimitSettings(lists_per_credential=2)
SOON = 10.0


class SlowLive(ScriptedLive):
    """Answers what is asked for one device, and of several when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting = 0
        self.go_on = asyncio.Event()

    async def devices(self, names: Sequence[str]) -> list[DeviceState | None]:
        if len(names) > 1:
            self.waiting += 1
            await self.go_on.wait()
        return [known_state(name, {}) for name in names]


@pytest_asyncio.fixture(name="door")
async def running(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Door]:
    monkeypatch.setattr(context, "SHARE_SECS", 0.05)
    async with serving(limits=FEW) as door:
        door.context.live = door.live = SlowLive()
        yield door


def ask(door: Door, token: str, *devices: str) -> "asyncio.Task[httpx.Response]":
    request: Any = door.client.post(
        "/v1/states:query", json={"devices": devices}, headers={"Authorization": f"Bearer {token}"}
    )
    return asyncio.create_task(request)


async def test_states_of_many_devices(door: Door) -> None:
    live = door.live
    assert isinstance(live, SlowLive)
    refused = prometheus.shares_refused[("limits.lists_per_credential",)]._value
    before = refused.get()
    greedy = [ask(door, "reader", "d1", "d2") for _ in range(2)]
    async with asyncio.timeout(SOON):
        while live.waiting < 2:  # noqa: ASYNC110 - both are under way
            await asyncio.sleep(0.002)
    more = await asyncio.wait_for(ask(door, "reader", "d1"), SOON)
    assert (more.status_code, more.json()["code"]) == (429, "too_many_at_once")
    assert (more.json()["limit"], more.json()["value"]) == ("limits.lists_per_credential", 2)
    assert int(more.headers["retry-after"]) >= 1
    assert (await asyncio.wait_for(ask(door, "admin", "d1"), SOON)).status_code == 200
    live.go_on.set()
    assert {answer.status_code for answer in await asyncio.gather(*greedy)} == {200}
    assert (await asyncio.wait_for(ask(door, "reader", "d1"), SOON)).status_code == 200
    assert refused.get() == before + 1


async def test_who_waits_holds_no_body(door: Door) -> None:
    """Bodies of a greedy caller are not read before it may be served."""
    live = door.live
    assert isinstance(live, SlowLive)
    greedy = [ask(door, "reader", "d1", "d2") for _ in range(2)]
    async with asyncio.timeout(SOON):
        while live.waiting < 2:  # noqa: ASYNC110 - both are under way
            await asyncio.sleep(0.002)
    wire = await door.raw()
    await wire.send(head("/v1/states:query", "Content-Length: 1000000", token="reader") + bytes(500_000))
    answer = await wire.answer()
    assert (answer.status, code_of(answer.body)) == (429, "too_many_at_once")
    assert door.context.bodies.inflight_bytes == 0
    await wire.close()
    live.go_on.set()
    await asyncio.gather(*greedy)


async def test_a_burst_of_many_that_do_not_last_is_served(door: Door) -> None:
    answers = await asyncio.gather(*[ask(door, "reader", "d1") for _ in range(50)])
    assert {answer.status_code for answer in answers} == {200}
