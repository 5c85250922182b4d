"""Lists of devices and of states by prefix, tag and age, on the parts of production."""

import json
import random
import time
from typing import Any
from urllib.parse import quote

import pytest

from gateway.core.errors import StateUnavailable
from gateway.core.timestamps import to_rfc3339
from gateway.services import device_listing
from tests.integration.conftest import Shared
from tests.integration.live_gateways import until
from tests.integration.whole_gateway import Whole

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECOND = 1_000_000


async def report(registry: Whole, device: str, *, age_secs: float, metric: str = "t") -> int:
    """Let a device report; return the time of its reading (µs)."""
    time_us = time.time_ns() // 1000 - int(age_secs * SECOND)
    body = {"device": device, "ts": to_rfc3339(time_us), "values": {metric: 1.5}}
    await registry.json("POST", "/v1/readings", json=body)
    return time_us


async def register(registry: Whole, devices: dict[str, dict[str, str]]) -> None:
    rows = [json.dumps({"device": name, "tags": tags}) for name, tags in devices.items()]
    headers = {"content-type": "application/x-ndjson"}
    await registry.json("POST", "/v1/devices:import", content="\n".join(rows), headers=headers)


async def away(_: object) -> None:
    raise StateUnavailable


async def pages(registry: Whole, query: str, *, limit: int = 3) -> list[str]:
    """All names, page by page."""
    found: list[str] = []
    cursor = ""
    while True:
        page = await registry.json("GET", f"/v1/devices?limit={limit}{query}{cursor}")
        assert len(page["devices"]) <= limit
        found += [device["device"] for device in page["devices"]]
        if page["next_cursor"] is None:
            return found
        cursor = f"&cursor={page['next_cursor']}"


async def test_pages_hold_each_device_once_and_end(registry: Whole) -> None:
    names = [f"d{n}" for n in range(9)]
    await register(registry, {name: {} for name in names})
    assert await pages(registry, "") == names
    assert await pages(registry, "", limit=9) == names
    assert await pages(registry, "&prefix=d1") == ["d1"]
    whole_page = await registry.json("GET", "/v1/devices?limit=9")
    assert whole_page["next_cursor"] is None, "a page that holds the last device is the last"


async def test_filters_say_what_a_plain_loop_says(registry: Whole) -> None:
    rng = random.Random(7)
    tags = {
        f"{rng.choice('ab')}-{n}": {
            key: rng.choice("xyz") for key in rng.sample(["site", "floor", "a/b"], rng.randint(0, 3))
        }
        for n in range(40)
    }
    await register(registry, tags)
    disabled = set(rng.sample(sorted(tags), 7))
    for name in disabled:
        await registry.json("PATCH", f"/v1/devices/{name}", json={"enabled": False})
    for wanted, keys, prefix, enabled in [
        ({"site": "x"}, [], "", None),
        ({"site": "x", "floor": "y"}, [], "", None),
        ({}, ["a/b"], "a", True),
        ({"site": "z"}, ["floor"], "b-", False),
        ({"site": "nowhere"}, [], "", None),
        ({}, [], "", False),
    ]:
        query = f"&prefix={prefix}" if prefix else ""
        query += "".join(f"&tag={quote(f'{key}:{value}')}" for key, value in wanted.items())
        query += "".join(f"&tag={quote(key)}" for key in keys)
        query += "" if enabled is None else f"&enabled={str(enabled).lower()}"
        expected = [
            name
            for name in sorted(tags)
            if name.startswith(prefix)
            and wanted.items() <= tags[name].items()
            and set(keys) <= tags[name].keys()
            and enabled in (None, name not in disabled)
        ]
        assert await pages(registry, query, limit=4) == expected, query


async def test_when_devices_were_last_heard_of(registry: Whole, monkeypatch: pytest.MonkeyPatch) -> None:
    await register(registry, {name: {} for name in ("fresh", "never", "old", "older")})
    times = {"fresh": await report(registry, "fresh", age_secs=2)}
    await report(registry, "old", age_secs=3000, metric="a")
    times["old"] = await report(registry, "old", age_secs=1200, metric="b")
    times["older"] = await report(registry, "older", age_secs=5000)

    async def from_redis() -> bool:
        return bool((await registry.json("GET", "/v1/devices"))["source"] == "redis")

    await until(from_redis)
    for _ in ("redis", "db"):
        shown = await registry.json("GET", "/v1/devices")
        assert {one["device"]: one["last_seen"] for one in shown["devices"]} == {
            **{name: to_rfc3339(time_us) for name, time_us in times.items()},
            "never": None,
        }
        by_name = {one["device"]: one for one in shown["devices"]}
        assert by_name["never"]["age_ms"] is None
        assert 1_200_000 <= by_name["old"]["age_ms"] < 1_300_000
        assert [by_name[name]["offline"] for name in ("fresh", "never", "old", "older")] == [False, True, True, True]
        assert await pages(registry, "&stale=15m") == ["never", "old", "older"]
        assert await pages(registry, "&stale=1h", limit=1) == ["never", "older"]
        assert await pages(registry, "&offline=false", limit=1) == ["fresh"]
        assert await pages(registry, "&offline=true&stale=1h&prefix=o") == ["older"]
        monkeypatch.setattr(registry.context.registrar.removal._states, "times", away)
        assert (await registry.json("GET", "/v1/devices"))["source"] == "db"
        one = await registry.json("GET", "/v1/devices/old")
        assert one["last_seen"] == to_rfc3339(times["old"])
        assert {metric["metric"] for metric in one["metrics"]} == {"a", "b"}


async def test_a_scan_does_bounded_work_and_goes_on(registry: Whole, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"d{n:02}" for n in range(25)]
    await register(registry, {name: {} for name in names})
    await report(registry, "d20", age_secs=1)
    monkeypatch.setattr(device_listing, "MAX_PAGE", 5)
    monkeypatch.setattr(device_listing, "MAX_SCANNED", 10)
    page = await registry.json("GET", "/v1/devices?offline=false")
    assert (page["devices"], bool(page["next_cursor"])) == ([], True)
    assert await pages(registry, "&offline=false") == ["d20"]
    assert await pages(registry, "&offline=true", limit=7) == [name for name in names if name != "d20"]


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=1001",
        "cursor=x",
        "cursor=",
        "prefix=a%20b",
        "prefix=%00",
        "tag=",
        "tag=%00",
        "tag=a:%00",
        "tag=a:x&tag=a:y",
        "&".join(f"tag=k{n}" for n in range(65)),
        "enabled=yes",
        "enabled=",
        "stale=15",
        "stale=-15m",
        "stale=0s",
        "stale=99999999999d",
        "offline=maybe",
        "prefix=a&prefix=b",
        "tags=a",
    ],
)
async def test_parameters_that_cannot_be(registry: Whole, query: str) -> None:
    assert (await registry.json("GET", f"/v1/devices?{query}", status=422))["code"] == "bad_parameter"


async def test_a_cursor_belongs_to_its_question(registry: Whole) -> None:
    await register(registry, {name: {"a": "1"} for name in ("d1", "d2", "d3")})
    cursor = (await registry.json("GET", "/v1/devices?limit=1&tag=a"))["next_cursor"]
    await registry.json("GET", f"/v1/devices?limit=2&tag=a&cursor={cursor}")
    for query in ("limit=1", "limit=1&tag=a:1", "limit=1&tag=a&stale=1m"):
        got = await registry.json("GET", f"/v1/devices?{query}&cursor={cursor}", status=422)
        assert got["parameter"] == "cursor"


async def states(registry: Whole, query: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    while True:
        page = await registry.json("POST", "/v1/states:query", json=query)
        assert not found.keys() & page["states"].keys()
        found |= page["states"]
        if page["next_cursor"] is None:
            return found
        query = {**query, "cursor": page["next_cursor"]}


async def test_states_by_prefix_and_tag(registry: Whole) -> None:
    await register(registry, {f"a{n}": {"site": "north" if n % 2 else "south"} for n in range(7)} | {"b": {}})
    for n in range(7):
        await report(registry, f"a{n}", age_secs=1, metric=f"m{n % 2}")
    assert sorted(await states(registry, {"prefix": "a", "limit": 3})) == [f"a{n}" for n in range(7)]
    north = await states(registry, {"tag": ["site:north"], "metrics": ["m1"], "limit": 2})
    assert {name: list(state["metrics"]) for name, state in north.items()} == {f"a{n}": ["m1"] for n in (1, 3, 5)}
    for source in ("db", "redis"):  # that it has none is known after the first time
        assert await states(registry, {"prefix": "b"}) == {"b": {"metrics": {}, "source": source}}
    assert len(await states(registry, {"prefix": ""})) == 8


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"metrics": ["t"]},
        {"devices": ["a"], "prefix": "a"},
        {"devices": ["a"], "tag": []},
        {"devices": ["a"], "limit": 1},
        {"devices": ["a"], "cursor": "x"},
        {"prefix": "a b"},
        {"prefix": "\0"},
        {"prefix": "", "limit": 0},
        {"prefix": "", "limit": 1001},
        {"prefix": "", "cursor": "x"},
        {"tag": [""]},
        {"tag": "a"},
    ],
)
async def test_queries_of_states_that_cannot_be(registry: Whole, query: dict[str, Any]) -> None:
    assert (await registry.json("POST", "/v1/states:query", json=query, status=422))["code"] == "bad_parameter"


async def test_a_device_may_not_list_others(shared: Shared, registry: Whole) -> None:
    await register(registry, {"d1": {}})
    token = (await registry.json("POST", "/v1/keys", status=201, json={"role": "device", "device": "d1"}))["token"]
    headers = {"Authorization": f"Bearer {token}"}
    await registry.json("POST", "/v1/states:query", json={"prefix": "d1"}, headers=headers, status=403)
    await registry.json("POST", "/v1/states:query", json={"devices": ["d1"]}, headers=headers)
