"""What a run registers, and that it is removed again."""

from collections.abc import AsyncIterator

import pytest

from simulator.core.errors import Unreachable, UsageError
from simulator.plan.plan import Plan
from simulator.plan.scenario import FleetSpec, Scenario
from simulator.send.drivers.http import HttpClient
from simulator.targets.registration import Registration, device_names
from tests.fakes.fake_api import FakeRegistry
from tests.fakes.fake_gateway import FakeGateway
from tests.unit.simulator.cases import START_MS


def plan(*, devices: int = 3, zstd: bool = False) -> Plan:
    fleets = (
        FleetSpec(model="door", devices=devices, rate=1, compression=("zstd",) if zstd else ("none",)),
        FleetSpec(model="vehicle", devices=2, rate=1),
    )
    return Plan(scenario=Scenario(title="t", fleets=fleets), run="x", start_ms=START_MS)


@pytest.fixture
def registry(gateway: FakeGateway) -> FakeRegistry:
    registry = FakeRegistry()
    gateway.calls.append(registry)
    return registry


@pytest.fixture
async def client(gateway: FakeGateway) -> AsyncIterator[HttpClient]:
    async with HttpClient(gateway.url, key="admin") as one:
        yield one


async def test_all_devices_and_a_key_of_their_own_come_and_go(client: HttpClient, registry: FakeRegistry) -> None:
    registration = Registration(client, plan(devices=1_500))
    await registration.register()
    assert registry.imports == 2
    assert set(registry.devices) == set(device_names(plan(devices=1_500)))
    assert registry.devices["sim-1-x-vehicle-00001"] == {"simulator": "x"}
    assert registration.key == "token-1"
    assert registry.keys[1] == {"role": "ingest", "prefix": "sim-1-x-", "label": "simulator x"}
    await registration.withdraw()
    assert (registry.devices, registry.keys, registration.notes) == ({}, {}, [])
    assert all(name.startswith("sim-1-x-") for name in registry.deleted)


async def test_what_cannot_be_removed_is_told(client: HttpClient, registry: FakeRegistry) -> None:
    registry.stuck.add("sim-1-x-door-00001")
    registration = Registration(client, plan())
    await registration.register()
    await registration.withdraw()
    assert set(registry.devices) == {"sim-1-x-door-00001"}
    assert registration.notes == [
        "1 devices could not be removed, sim-1-x-door-00001 (409 device_has_readings) among them"
    ]


async def test_a_gateway_without_a_registry_is_used_with_the_key_we_have(client: HttpClient) -> None:
    registration = Registration(client, plan())
    await registration.register()
    assert (registration.key, registration.is_registered) == ("admin", False)
    assert registration.notes == ["devices were not registered: POST /v1/devices:import was answered 404 not_found"]


async def test_strangers(client: HttpClient, gateway: FakeGateway, registry: FakeRegistry) -> None:
    registration = Registration(client, plan())
    gateway.tricks.append(lambda *_: (422, {"accepted": 0, "errors": [{"code": "unknown_device"}]}))
    assert not await registration.lets_strangers_in()
    assert await registration.lets_strangers_in()
    await registration.withdraw()
    assert registry.deleted == ["sim-1-x-probe-unknown"]


async def test_a_gateway_that_does_not_read_zstd_is_said_at_once(client: HttpClient, gateway: FakeGateway) -> None:
    gateway._ingest = lambda _: (415, {"code": "unsupported_media"})  # type: ignore[method-assign, assignment]
    await Registration(client, plan()).check_zstd()
    with pytest.raises(UsageError, match="does not read zstd"):
        await Registration(client, plan(zstd=True)).check_zstd()


async def test_busy_is_asked_again_and_gone_is_said(
    client: HttpClient, gateway: FakeGateway, registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simulator.send.drivers.http.PAUSE_S", 0.0)
    busy = [(503, {"code": "overloaded"})] * 3
    gateway.calls.insert(0, lambda *_: busy.pop() if busy else None)
    await Registration(client, plan()).register()
    assert len(registry.devices) == 5
    busy += [(503, {"code": "overloaded"})] * 100
    with pytest.raises(Unreachable, match="does not POST /v1/devices:import: it answers with 503 overloaded"):
        await Registration(client, plan()).register()
