"""GET /v1/devices/{device}/state and POST /v1/states:query over a real server."""

import gzip
import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from gateway.core.errors import StateUnavailable
from gateway.domain.model import Kind
from tests.integration.web_server import NOW_US, Door, known_state, serving

SECOND_US = 1_000_000
TS = "2024-11-22T12:03:20.123000Z"


@pytest_asyncio.fixture(name="door")
async def running() -> AsyncIterator[Door]:
    async with serving() as door:
        door.live.known = {
            "d1": known_state(
                "d1",
                {
                    "t": (21.5, NOW_US, Kind.DOUBLE),
                    "open": (True, NOW_US - 2 * SECOND_US, Kind.BOOL),
                    "count": (2**60, NOW_US - 2 * SECOND_US, Kind.INT),
                    "fw": ("1.0ß", NOW_US + SECOND_US, Kind.TEXT),
                },
            ),
            "d2": known_state("d2", {}, "db"),
        }
        yield door


async def test_the_state_of_a_device(door: Door) -> None:
    got = await door.client.get("/v1/devices/d1/state")
    assert got.status_code == 200
    older = "2024-11-22T12:03:18.123000Z"
    assert got.json() == {
        "device": "d1",
        "metrics": {
            "t": {"value": 21.5, "ts": TS, "kind": "double", "age_ms": 0},
            "open": {"value": True, "ts": older, "kind": "bool", "age_ms": 2000},
            "count": {"value": 2**60, "ts": older, "kind": "int", "age_ms": 2000},
            "fw": {"value": "1.0ß", "ts": "2024-11-22T12:03:21.123000Z", "kind": "text", "age_ms": 0},
        },
        "source": "redis",
    }


async def test_only_the_wanted_metrics(door: Door) -> None:
    got = await door.client.get("/v1/devices/d1/state?metrics=fw,%20t,none")
    assert set(got.json()["metrics"]) == {"t", "fw"}
    repeated = await door.client.get("/v1/devices/d1/state?metrics=fw&metrics=t")
    assert set(repeated.json()["metrics"]) == {"t", "fw"}
    whole = await door.client.get("/v1/devices/d1/state")
    assert got.headers["etag"] != whole.headers["etag"]


async def test_an_unchanged_state_is_304_and_a_changed_one_is_not(door: Door) -> None:
    etag = (await door.client.get("/v1/devices/d1/state")).headers["etag"]
    for header in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        same = await door.client.get("/v1/devices/d1/state", headers={"If-None-Match": header})
        assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", etag)
        assert same.headers["x-request-id"]
    door.live.known["d1"] = door.live.known["d1"]._replace(source="db")
    again = await door.client.get("/v1/devices/d1/state", headers={"If-None-Match": etag})
    assert again.status_code == 304
    door.live.known["d1"] = known_state("d1", {"t": (21.5, NOW_US + 1, Kind.DOUBLE)})
    changed = await door.client.get("/v1/devices/d1/state", headers={"If-None-Match": etag})
    assert changed.status_code == 200
    assert changed.headers["etag"] != etag


@pytest.mark.parametrize(
    ("first", "second"), [((1, Kind.DOUBLE), (True, Kind.BOOL)), ((1.0, Kind.DOUBLE), (1, Kind.INT))]
)
async def test_the_etag_tells_kinds_apart(door: Door, first: tuple[float, Kind], second: tuple[float, Kind]) -> None:
    tags = set()
    for value, kind in (first, second):
        door.live.known["d1"] = known_state("d1", {"t": (value, NOW_US, kind)})
        tags.add((await door.client.get("/v1/devices/d1/state")).headers["etag"])
    assert len(tags) == 2


async def test_an_unknown_device_is_404(door: Door) -> None:
    got = await door.client.get("/v1/devices/nobody/state")
    assert (got.status_code, got.json()["code"]) == (404, "unknown_device")
    assert "nobody" in got.json()["detail"]


@pytest.mark.parametrize("query", ["metrics=", "metrics=,", "metric=t"])
async def test_parameters_that_cannot_be_served(door: Door, query: str) -> None:
    got = await door.client.get(f"/v1/devices/d1/state?{query}")
    assert (got.status_code, got.json()["code"]) == (422, "bad_parameter")


@pytest.mark.parametrize(
    ("token", "device", "status"),
    [
        ("admin", "d1", 200),
        ("reader", "d1", 200),
        ("d1", "d1", 200),
        ("d1", "d2", 403),
        ("ingest", "d1", 403),
        ("wrong", "d1", 401),
    ],
)
async def test_who_may_read_what(door: Door, token: str, device: str, status: int) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    assert (await door.client.get(f"/v1/devices/{device}/state", headers=headers)).status_code == status
    many = await door.client.post("/v1/states:query", json={"devices": [device]}, headers=headers)
    assert many.status_code == status


async def test_many_states_in_one_call(door: Door) -> None:
    got = await door.client.post("/v1/states:query", json={"devices": ["d1", "nobody", "d2", "d1"], "metrics": ["t"]})
    assert got.status_code == 200
    assert got.json() == {
        "states": {
            "d1": {"metrics": {"t": {"value": 21.5, "ts": TS, "kind": "double", "age_ms": 0}}, "source": "redis"},
            "d2": {"metrics": {}, "source": "db"},
        },
        "missing": ["nobody"],
        "next_cursor": None,
    }


async def test_a_query_may_be_compressed(door: Door) -> None:
    body = gzip.compress(b'{"devices":["d1"]}')
    got = await door.client.post("/v1/states:query", content=body, headers={"Content-Encoding": "gzip"})
    assert set(got.json()["states"]) == {"d1"}


@pytest.mark.parametrize(("body", "status"), [(b'\n{"devices":["d1"]}', 200), (b"devices=d1", 415), (b"", 415)])
async def test_a_query_that_curl_labels_as_a_form_is_read_if_it_is_json(door: Door, body: bytes, status: int) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert (await door.client.post("/v1/states:query", content=body, headers=headers)).status_code == status


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "bad_payload"),
        (b'{"devices":["d1"]', 400, "bad_payload"),
        (b'{"devices":["\xff"]}', 400, "bad_payload"),
        (b"[" * 100_000, 422, "bad_parameter"),
        (b"{}", 422, "bad_parameter"),
        (b'{"devices":[]}', 422, "bad_parameter"),
        (b'{"devices":["d1"],"metric":["t"]}', 422, "bad_parameter"),
        (b'{"devices":[1]}', 422, "bad_parameter"),
        (b'{"devices":[""]}', 422, "bad_parameter"),
        (b'{"devices":[' + b",".join(b'"d%d"' % n for n in range(1001)) + b"]}", 422, "bad_parameter"),
    ],
)
async def test_queries_that_cannot_be_served(door: Door, body: bytes, status: int, code: str) -> None:
    got = await door.client.post("/v1/states:query", content=body)
    assert (got.status_code, got.json()["code"]) == (status, code)


async def test_a_thousand_devices_are_served(door: Door) -> None:
    got = await door.client.post("/v1/states:query", json={"devices": [f"d{n}" for n in range(1000)]})
    assert got.status_code == 200
    assert len(got.json()["missing"]) == 998


async def test_a_state_store_that_is_away_is_503(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(_: object) -> None:
        raise StateUnavailable

    monkeypatch.setattr(door.live, "device", away)
    got = await door.client.get("/v1/devices/d1/state")
    assert (got.status_code, got.json()["code"]) == (503, "state_unavailable")
    assert "retry-after" in got.headers


async def test_a_question_that_is_longer_than_any_needs_to_be_is_refused_before_it_is_read(door: Door) -> None:
    names = json.dumps({"devices": ["x" * 128] * 3000}).encode()
    for content, headers in ((names, {}), (gzip.compress(names), {"Content-Encoding": "gzip"})):
        got = await door.client.post("/v1/states:query", content=content, headers=headers)
        problem = got.json()
        assert (got.status_code, problem["code"], problem["limit"]) == (
            413,
            "too_large",
            "http.max_inflated_ratio" if headers else "body_bytes",
        )
    assert door.context.bodies.inflight_bytes == 0
