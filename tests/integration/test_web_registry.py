"""Keys, metrics and the audit over HTTP, on the parts of production."""

import asyncio
from typing import Any

import pytest

from gateway.domain.credentials import TOKEN
from tests.integration.conftest import Shared
from tests.integration.live_gateways import until
from tests.integration.whole_gateway import ADMIN, Whole
from tests.integration.writing import fetch

pytestmark = pytest.mark.asyncio(loop_scope="module")


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def make_key(registry: Whole, **asked: Any) -> dict[str, Any]:
    made: dict[str, Any] = await registry.json("POST", "/v1/keys", status=201, json=asked)
    return made


async def test_a_key_is_shown_once_and_can_be_revoked(registry: Whole) -> None:
    made = await make_key(registry, role="ingest", prefix="p-", label="edge", expires_days=3)
    assert TOKEN.fullmatch(made["token"])
    listed = await registry.call("GET", "/v1/keys")
    assert made["token"] not in listed.text
    [one] = listed.json()["keys"]
    assert {name: one[name] for name in ("id", "role", "device", "prefix", "label", "expires_at", "revoked_at")} == {
        **{name: made[name] for name in ("id", "role", "device", "prefix", "label", "expires_at")},
        "revoked_at": None,
    }
    readings = {"device": "x", "values": {"t": 1.0}}
    assert (
        await registry.call("POST", "/v1/readings", json=readings, headers=bearer(made["token"]))
    ).status_code == 422
    for _ in range(2):  # once is enough, twice does no harm
        await registry.json("DELETE", f"/v1/keys/{made['id']}", status=204)

    async def refused() -> bool:
        got = await registry.call("POST", "/v1/readings", json=readings, headers=bearer(made["token"]))
        return got.status_code == 401

    async with asyncio.timeout(1):
        await until(refused)
    assert (await registry.json("GET", "/v1/keys"))["keys"] == []
    [one] = (await registry.json("GET", "/v1/keys?all=true"))["keys"]
    assert one["revoked_at"] is not None


async def test_pages_and_filters_of_keys(registry: Whole) -> None:
    await registry.json("POST", "/v1/devices", status=201, json={"device": "d1"})
    await make_key(registry, role="device", device="d1")
    ids = [(await make_key(registry, role="reader"))["id"] for _ in range(4)]
    first = await registry.json("GET", "/v1/keys?role=reader&limit=2")
    rest = await registry.json("GET", f"/v1/keys?role=reader&limit=2&cursor={first['next_cursor']}")
    assert [key["id"] for key in first["keys"] + rest["keys"]] == ids
    assert rest["next_cursor"] is None
    assert [key["device"] for key in (await registry.json("GET", "/v1/keys?device=d1"))["keys"]] == ["d1"]


@pytest.mark.parametrize(
    ("asked", "status", "code"),
    [
        ({}, 422, "bad_parameter"),
        ({"role": "king"}, 422, "bad_parameter"),
        ({"role": "device"}, 422, "bad_parameter"),
        ({"role": "device", "device": "ghost"}, 404, "unknown_device"),
        ({"role": "reader", "device": "d1"}, 422, "bad_parameter"),
        ({"role": "reader", "prefix": "a"}, 422, "bad_parameter"),
        ({"role": "ingest", "prefix": "a/"}, 422, "bad_parameter"),
        ({"role": "ingest", "label": "a\0"}, 422, "bad_parameter"),
        ({"role": "ingest", "expires_days": 0}, 422, "bad_parameter"),
        ({"role": "ingest", "expires_days": 10**12}, 422, "bad_parameter"),
    ],
)
async def test_keys_that_cannot_be_made(registry: Whole, asked: dict[str, Any], status: int, code: str) -> None:
    assert (await registry.json("POST", "/v1/keys", status=status, json=asked))["code"] == code
    assert (await registry.json("GET", "/v1/keys?all=true"))["keys"] == []


CALLS = [
    ("POST", "/v1/devices", b'{"device": "d1"}', 201),
    ("PATCH", "/v1/devices/d1", b'\n{"tags": {"a": "1"}}', 200),
    ("POST", "/v1/keys", b'\xef\xbb\xbf{"role": "reader"}', 201),
    ("POST", "/v1/devices/d1/keys:rotate", b'{"overlap_secs": 0}', 201),
    ("PUT", "/v1/metrics/t", b'{"unit": "m"}', 200),
]


async def test_json_that_curl_labels_as_a_form_is_read_by_every_call(registry: Whole) -> None:
    headers = {"content-type": "application/x-www-form-urlencoded"}
    for method, path, body, status in CALLS:
        got = await registry.json(method, path, status=415, content=b"device=d1", headers=headers)
        assert (got["code"], "form" in got["media"]) == ("unsupported_media", True), path
        await registry.json(method, path, status=status, content=body, headers=headers)


async def test_an_import_is_no_json_and_needs_its_label(registry: Whole) -> None:
    headers = {"content-type": "application/x-www-form-urlencoded"}
    got = await registry.call("POST", "/v1/devices:import", content=b'{"device": "d1"}', headers=headers)
    assert (got.status_code, got.headers["accept-post"]) == (415, "application/x-ndjson, text/csv")


@pytest.mark.parametrize("path", ["/v1/keys/0", "/v1/keys/2147483648", "/v1/keys/99999999999999999999", "/v1/keys/x"])
async def test_keys_that_are_not(registry: Whole, path: str) -> None:
    got = await registry.json("DELETE", path, status=404)
    assert got["code"] == "not_found"


async def test_the_admin_key_of_the_settings_cannot_be_revoked(registry: Whole) -> None:
    got = await registry.json("DELETE", "/v1/keys/2147483647", status=404)
    assert "auth.admin_key" in got["detail"]
    await registry.json("GET", "/v1/keys", headers=bearer(ADMIN))


@pytest.mark.parametrize(
    "query", ["role=king", "device=a%20b", "all=1", "limit=0", "limit=1001", "cursor=x", "roles=reader"]
)
async def test_questions_about_keys_that_cannot_be(registry: Whole, query: str) -> None:
    assert (await registry.json("GET", f"/v1/keys?{query}", status=422))["code"] == "bad_parameter"


async def test_rotation_keeps_the_one_in_use_for_the_overlap(registry: Whole) -> None:
    await registry.json("POST", "/v1/devices", status=201, json={"device": "d1"})
    old = await make_key(registry, role="device", device="d1")
    path = "/v1/devices/d1/keys:rotate"
    new = await registry.json("POST", path, status=201, json={"overlap_secs": 3600, "expires_days": 2})
    assert (new["device"], bool(new["expires_at"])) == ("d1", True)
    for token in (old["token"], new["token"]):
        await registry.json("GET", "/v1/devices/d1", headers=bearer(token))
    newest = await registry.json("POST", path, status=201, json={"overlap_secs": 0})
    assert newest["expires_at"] is None

    async def only_newest() -> bool:
        statuses = [
            (await registry.call("GET", "/v1/devices/d1", headers=bearer(one["token"]))).status_code
            for one in (old, new, newest)
        ]
        return statuses == [401, 401, 200]

    await until(only_newest)
    await registry.json("POST", path, status=201)  # no body: a day of overlap
    await registry.json("POST", "/v1/devices/ghost/keys:rotate", status=404)
    for body in ({"overlap_secs": -1}, {"overlap_secs": 10**12}, {"overlap": 1}, {"expires_days": 0}):
        await registry.json("POST", path, status=422, json=body)


async def test_a_metric_is_told_of_before_it_is_reported(registry: Whole) -> None:
    path = "/v1/metrics/power%2Factive"
    made = await registry.json("PUT", path, json={"unit": "Wh", "declared_int": True})
    assert made == {"metrics": [{"metric": "power/active", "kind": "int", "unit": "Wh", "declared_int": True}]}
    await registry.json("POST", "/v1/devices", status=201, json={"device": "d1"})

    async def exact() -> bool:
        body = {"device": "d1", "values": {"power/active": 2**60 + 1, "open": True}}
        return (await registry.call("POST", "/v1/readings", json=body)).status_code == 200

    async with asyncio.timeout(1):
        await until(exact)
    shown = (await registry.json("GET", "/v1/devices/d1"))["metrics"]
    assert shown == [
        {"metric": "open", "kind": "bool", "unit": None},
        {"metric": "power/active", "kind": "int", "unit": "Wh"},
    ]
    await registry.json("POST", "/v1/readings", json={"device": "d1", "values": {"power/active": "off"}})
    listed = await registry.json("GET", "/v1/metrics?prefix=power")
    assert [(one["kind"], one["unit"]) for one in listed["metrics"]] == [("int", "Wh"), ("text", "Wh")]
    assert listed["next_cursor"] is None
    await registry.json("PUT", "/v1/metrics/power/active", json={"unit": None})
    listed = await registry.json("GET", "/v1/metrics?prefix=power")
    assert [(one["unit"], one["declared_int"]) for one in listed["metrics"]] == [(None, True), (None, True)]


async def test_pages_of_metrics(registry: Whole) -> None:
    for name in ("b", "a", "B", "a.b"):
        await registry.json("PUT", f"/v1/metrics/{name}", json={})
    found, cursor = [], ""
    while cursor is not None:
        query = f"?limit=1&cursor={cursor}" if cursor else "?limit=1"
        page = await registry.json("GET", f"/v1/metrics{query}")
        found += [one["metric"] for one in page["metrics"]]
        cursor = page["next_cursor"]
    assert found == ["B", "a", "a.b", "b"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/metrics/a%20b", {}),
        ("/v1/metrics/%00", {}),
        ("/v1/metrics/t", {"unit": ""}),
        ("/v1/metrics/t", {"unit": "x" * 65}),
        ("/v1/metrics/t", {"unit": "a\0"}),
        ("/v1/metrics/t", {"unit": 1}),
        ("/v1/metrics/t", {"kind": "int"}),
        ("/v1/metrics/t", {"declared_int": None}),
    ],
)
async def test_metrics_that_cannot_be(registry: Whole, path: str, body: dict[str, Any]) -> None:
    assert (await registry.json("PUT", path, json=body, status=422))["code"] == "bad_parameter"
    assert (await registry.json("GET", "/v1/metrics"))["metrics"] == []


async def test_each_act_leaves_a_line_and_no_token(registry: Whole, shared: Shared) -> None:
    key = await make_key(registry, role="admin", label="it's me")
    mine = bearer(key["token"])
    await registry.json("POST", "/v1/devices", status=201, json={"device": "d1", "tags": {"a": "1"}}, headers=mine)
    await registry.json("PATCH", "/v1/devices/d1", json={"tags": {"a": None, "b": "2"}, "enabled": False}, headers=mine)
    await registry.json("PATCH", "/v1/devices/d1", json={"enabled": False}, headers=mine)  # nothing changes
    await registry.json("POST", "/v1/devices/d1/keys:rotate", status=201, headers=mine)
    await registry.json("PUT", "/v1/metrics/t", json={"unit": "°C"}, headers=mine)
    await registry.json("PUT", "/v1/metrics/t", json={"unit": "°C"}, headers=mine)  # nothing changes
    await registry.json("DELETE", "/v1/devices/d1", status=204, headers=mine)
    await registry.json("DELETE", f"/v1/keys/{key['id']}", status=204)
    got = await registry.call("GET", "/v1/audit")
    assert key["token"] not in got.text
    entries = list(reversed(got.json()["entries"]))
    actor = f'key {key["id"]} "it\'s me"'
    assert [(one["actor"], one["action"], one["target"]) for one in entries[:4] + entries[5:]] == [
        ("admin key", "key.create", str(key["id"])),
        (actor, "device.create", "d1"),
        (actor, "device.update", "d1"),
        (actor, "key.rotate", entries[3]["target"]),
        (actor, "device.delete", "d1"),
        ("admin key", "key.revoke", str(key["id"])),
    ]
    assert entries[2]["detail"] == {"tags": {"a": None, "b": "2"}, "enabled": False}
    assert entries[4]["detail"] == {"unit": "°C", "declared_int": False}
    assert await fetch(shared.database.url, "select count(*) from audit where at > now()") == [(0,)]


async def test_what_is_refused_leaves_no_line(registry: Whole) -> None:
    await registry.json("POST", "/v1/devices", status=201, json={"device": "d1"})
    await registry.json("POST", "/v1/devices", status=409, json={"device": "d1"})
    headers = {"If-Match": '"0-0"'}
    await registry.json("PATCH", "/v1/devices/d1", status=412, json={"enabled": False}, headers=headers)
    await registry.json("DELETE", "/v1/devices/ghost", status=404)
    assert len((await registry.json("GET", "/v1/audit"))["entries"]) == 1


async def test_pages_and_filters_of_the_audit(registry: Whole) -> None:
    for n in range(5):
        await registry.json("POST", "/v1/devices", status=201, json={"device": f"d{n}"})
    found, cursor = [], ""
    while cursor is not None:
        query = f"&cursor={cursor}" if cursor else ""
        page = await registry.json("GET", f"/v1/audit?limit=2&actor=admin%20key{query}")
        found += [one["target"] for one in page["entries"]]
        cursor = page["next_cursor"]
    assert found == ["d4", "d3", "d2", "d1", "d0"]
    assert (await registry.json("GET", "/v1/audit?actor=nobody"))["entries"] == []
    assert len((await registry.json("GET", "/v1/audit?since=-1h"))["entries"]) == 5
    assert (await registry.json("GET", "/v1/audit?since=2100-01-01T00:00:00Z"))["entries"] == []
    for query in ("since=yesterday", "limit=0", "cursor=x", "actor=%00", "who=me"):
        assert (await registry.json("GET", f"/v1/audit?{query}", status=422))["code"] == "bad_parameter"
