"""GET /v1/fleet: who may see it, that it holds what it promises, and that many askers cost one look."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.telemetry.prometheus import LATENCY_BUCKETS
from gateway.telemetry.rates import RateHistory, Sums
from gateway.web.ports import Health
from tests.integration.web_server import Door, serving

FIELDS = {"status", "degraded", "now", "ready", "parts", "rates", "history", "waiting", "ledger", "devices", "role"}


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    async with serving() as door:
        yield door


def fill(history: RateHistory, *, mqtt: int = 0) -> None:
    for step in (1, 2, 3):
        latency = (0,) * (len(LATENCY_BUCKETS) - 1) + (step, step)
        history.add(
            Sums(step * 5000, step * 5.0, step * 10, step * 20, step * 30, step, latency, mqtt_connections=mqtt)
        )


@pytest.mark.parametrize(
    ("token", "status", "code"),
    [
        ("admin", 200, None),
        ("reader", 200, None),
        ("ingest", 403, "forbidden"),
        ("d1", 403, "forbidden"),
        ("wrong", 401, "unauthorized"),
    ],
)
async def test_readers_and_admins_see_the_fleet(door: Door, token: str, status: int, code: str | None) -> None:
    answer = await door.client.get("/v1/fleet", headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json().get("code")) == (status, code)
    if status == 200:
        assert (answer.json()["role"], answer.headers["cache-control"]) == (token, "no-store")


async def test_it_holds_rates_history_books_and_devices(door: Door) -> None:
    fill(door.history)
    view = (await door.client.get("/v1/fleet")).json()
    assert set(view) == FIELDS
    assert (view["ready"], view["parts"]) == (True, {"database": {"ok": True}})
    assert (view["rates"]["readings_per_s"], view["rates"]["refused_per_s"]) == (6, 0.2)
    assert view["history"]["ts"] == [10_000, 15_000]
    assert {len(column) for column in view["history"].values()} == {2}
    assert set(view["history"]) - {"ts"} == set(view["rates"])
    assert view["devices"] == {"total": 3, "enabled": 2, "offline": 1}
    assert set(view["ledger"]) == {"sources", "total", "from_spool"}
    assert set(view["waiting"]) == {"queue_rows", "queue_bytes", "spool_rows", "spool_bytes"}


async def test_before_the_first_sample_nothing_is_made_up(door: Door) -> None:
    door.census.known = None
    view = (await door.client.get("/v1/fleet")).json()
    assert (set(view["rates"].values()), view["history"]["ts"], view["devices"]) == ({None}, [], None)


async def test_an_unknown_parameter_is_refused(door: Door) -> None:
    answer = await door.client.get("/v1/fleet?history=1")
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_parameter")


async def test_many_askers_cost_one_look(door: Door) -> None:
    answers = await asyncio.gather(*[door.client.get("/v1/fleet") for _ in range(20)])
    assert {answer.status_code for answer in answers} == {200}
    assert door.census.asked <= 3  # one, and another for each second that this takes


async def test_a_worker_that_is_not_ready_is_said(door: Door) -> None:
    door.health = Health(ready=False, parts={"database": {"ok": False, "error": "away"}})
    view = (await door.client.get("/v1/fleet")).json()
    assert (view["ready"], view["parts"]["database"]["error"]) == (False, "away")


@pytest.mark.parametrize(("connections", "connected"), [(1, True), (0, False)])
async def test_mqtt_is_that_of_the_gateway_and_not_of_the_worker(door: Door, connections: int, connected: bool) -> None:
    door.context.mqtt = True
    door.health = Health(ready=True, parts={"mqtt": {"ok": True, "consumes": False}})
    fill(door.history, mqtt=connections)
    view = (await door.client.get("/v1/fleet")).json()
    assert view["parts"]["mqtt"] == {"ok": connected, "consumes": True, "connected": connected, "error": None}
    assert view["status"] == ("ready" if connected else "degraded")
    since = "1970-01-01T00:00:05.000000Z"
    told = [(each["part"], each["since"], "MQTT broker" in each["what"]) for each in view["degraded"]]
    assert told == ([] if connected else [("mqtt", since, True)])


async def test_without_a_broker_the_part_says_so(door: Door) -> None:
    door.health = Health(ready=True, parts={"mqtt": {"ok": True, "consumes": False}})
    fill(door.history)
    assert (await door.client.get("/v1/fleet")).json()["parts"]["mqtt"] == {"ok": True, "consumes": False}
