"""/livez, /readyz, /metrics, and what a client sees of a stop."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from prometheus_client.parser import text_string_to_metric_families

from gateway.core.settings import HttpSettings
from gateway.domain.model import Receipt
from gateway.telemetry import prometheus
from gateway.web.handlers import health
from gateway.web.ports import Health, Trouble
from tests.integration.web_server import CLEAN, Door, serving


@pytest_asyncio.fixture(name="door")
async def running() -> AsyncIterator[Door]:
    async with serving() as door:
        yield door


async def never() -> Health:
    await asyncio.Event().wait()
    raise AssertionError


async def test_health_needs_no_credential(door: Door) -> None:
    door.client.headers.pop("Authorization")
    for path in ("/livez", "/readyz", "/metrics"):
        assert (await door.client.get(path)).status_code == 200
        head = await door.client.head(path)
        assert (head.status_code, head.content) == (200, b"")


async def test_readyz_shows_each_part(door: Door) -> None:
    door.health = Health(ready=False, parts={"database": {"ok": False, "error": "refused"}, "redis": {"ok": True}})
    got = await door.client.get("/readyz")
    assert got.status_code == 503
    assert got.json() == {
        "status": "unready",
        "worker": "worker",
        "degraded": [],
        "parts": {"database": {"ok": False, "error": "refused"}, "redis": {"ok": True}},
    }
    assert (await door.client.get("/livez")).status_code == 200


async def test_what_is_degraded_is_named_and_takes_traffic(door: Door) -> None:
    trouble = Trouble("redis", "Redis cannot be used.", "2026-11-22T12:03:20.000000Z")
    door.health = Health(ready=True, parts={"redis": {"ok": False}}, degraded=[trouble])
    got = await door.client.get("/readyz")
    assert (got.status_code, got.json()["status"]) == (200, "degraded")
    assert got.json()["degraded"] == [
        {"part": "redis", "what": "Redis cannot be used.", "since": "2026-11-22T12:03:20.000000Z"}
    ]


async def test_parts_that_give_no_account_are_not_ready(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "HEALTH_SECS", 0.05)
    door.asked = never
    got = await door.client.get("/readyz")
    assert (got.status_code, got.json()["status"]) == (503, "unready")


async def test_a_broken_account_is_a_500_problem(door: Door) -> None:
    async def broken() -> Health:
        raise RuntimeError

    door.asked = broken
    got = await door.client.get("/readyz")
    assert (got.status_code, got.json()["code"]) == (500, "internal")


async def test_metrics_count_requests_and_problems(door: Door) -> None:
    async def count(name: str, **labels: str) -> float:
        text = (await door.client.get("/metrics")).text
        samples = [s for family in text_string_to_metric_families(text) for s in family.samples]
        return sum(s.value for s in samples if s.name == name and s.labels == labels)

    names = ("gateway_http_requests_total", "gateway_http_problems_total")
    before = (
        await count(names[0], route="readings", status="2xx"),
        await count(names[0], route="none", status="4xx"),
        await count(names[1], code="not_found"),
    )
    await door.client.post("/v1/readings", content=b"{}")
    await door.client.get("/nowhere")
    after = (
        await count(names[0], route="readings", status="2xx"),
        await count(names[0], route="none", status="4xx"),
        await count(names[1], code="not_found"),
    )
    assert [b - a for a, b in zip(before, after, strict=True)] == [1, 1, 1]


async def test_metrics_may_be_asked_for_by_name(door: Door) -> None:
    names = ["gateway_commits_total", "gateway_ready", "nothing"]
    for asked, shown in ((names, names[:2]), (names[:1], names[:1]), (names[2:], [])):
        got = await door.client.get("/metrics", params={"name[]": asked})
        lines = [line for line in got.text.splitlines() if not line.startswith("#")]
        assert sorted(line.split()[0] for line in lines if "_created" not in line) == shown


async def test_how_long_requests_take_is_a_histogram_by_group_of_routes(door: Door) -> None:
    async def told(group: str) -> dict[str, float]:
        text = (await door.client.get("/metrics")).text
        (family,) = [f for f in text_string_to_metric_families(text) if f.name == "gateway_http_request_seconds"]
        assert family.type == "histogram"
        return {
            sample.labels.get("le", sample.name.rpartition("_")[2]): sample.value
            for sample in family.samples
            if sample.labels["group"] == group
        }

    async def slow(_: bytes) -> Receipt:
        await asyncio.sleep(0.05)
        return CLEAN

    before = await told("ingest")
    assert list(before) == [*map(str, prometheus.HTTP_BOUNDS), "+Inf", "count", "sum"]
    door.intake.answer = slow
    await door.client.post("/v1/readings", content=b"{}")
    await door.client.post("/v1/devices/d1/readings", content=b"{}", headers={"Authorization": "Bearer nobody"})
    await door.client.get("/nowhere")
    after = await told("ingest")
    change = {name: value - before[name] for name, value in after.items()}
    assert (change["count"], change["+Inf"], change["10.0"]) == (2, 2, 2)
    assert change["0.03"] <= 1
    assert 0.05 <= change["sum"] < 10


async def test_a_stop_turns_unready_first_serves_what_comes_and_ends_connections() -> None:
    async with serving(HttpSettings(drain_secs=0.5, grace_secs=5)) as door:
        entered, release = asyncio.Event(), asyncio.Event()

        async def slow(_: bytes) -> Receipt:
            entered.set()
            await release.wait()
            return CLEAN

        door.intake.answer = slow
        wire = await door.raw()
        in_hand = asyncio.create_task(wire.post(b"{}"), name="in hand")
        async with asyncio.timeout(10):
            await entered.wait()
        stopping = asyncio.create_task(door.stop(), name="stopping")
        async with asyncio.timeout(10):
            while not door.context.draining:
                assert (await door.client.get("/livez")).status_code == 200
        door.asked = never  # a part that hangs must not hold the answer back
        ready = await door.client.get("/readyz")
        told = {"status": "draining", "worker": "worker", "degraded": [], "parts": {}}
        assert (ready.status_code, ready.json()) == (503, told)
        assert ready.headers["connection"] == "close"
        release.set()
        answer = await in_hand
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert await wire.is_closed()
        await wire.close()
        late = await door.client.post("/v1/readings", content=b"{}")
        assert late.status_code == 200
        await stopping
        assert not door.closed
    assert door.closed
