"""The registry of devices over HTTP, on the parts of production: reads, changes, lists and their filters."""

import asyncio
import json
from typing import Any

import pytest

from tests.integration.conftest import Shared
from tests.integration.whole_gateway import ADMIN, Whole
from tests.integration.writing import execute

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_device_from_birth_to_death(registry: Whole) -> None:
    made = await registry.call("POST", "/v1/devices", json={"device": "d:1", "tags": {"site": "Köln"}})
    assert (made.status_code, made.headers["location"]) == (201, "/v1/devices/d:1")
    body = made.json()
    assert {name: body[name] for name in ("device", "enabled", "tags", "last_seen", "age_ms", "offline")} == {
        "device": "d:1",
        "enabled": True,
        "tags": {"site": "Köln"},
        "last_seen": None,
        "age_ms": None,
        "offline": True,
    }
    shown = await registry.call("GET", "/v1/devices/d:1")
    assert shown.json() == {**body, "metrics": []}
    assert shown.headers["etag"] == made.headers["etag"]
    await registry.json("DELETE", "/v1/devices/d:1", status=204)
    assert (await registry.json("GET", "/v1/devices/d:1", status=404))["code"] == "unknown_device"
    assert (await registry.json("DELETE", "/v1/devices/d:1", status=404))["code"] == "unknown_device"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 422, "bad_parameter"),
        (b"{", 400, "bad_payload"),
        (b'{"device": "\xff"}', 400, "bad_payload"),
        (b'{"device": "a b"}', 422, "bad_parameter"),
        (b'{"device": "d\\u0000"}', 422, "bad_parameter"),
        (b'{"device": ""}', 422, "bad_parameter"),
        (b'{"device": 1}', 422, "bad_parameter"),
        (b'{"device": "d2", "enabled": "yes"}', 422, "bad_parameter"),
        (b'{"device": "d2", "tags": {"k": 1}}', 422, "bad_parameter"),
        (b'{"device": "d2", "tags": {"k": null}}', 422, "bad_parameter"),
        (b'{"device": "d2", "tags": {"k:x": "1"}}', 422, "bad_parameter"),
        (b'{"device": "d2", "tags": {"k": "a\\u0000"}}', 422, "bad_parameter"),
        (b'{"device": "d2", "nonsense": 1}', 422, "bad_parameter"),
        (b'{"device": "there"}', 409, "device_exists"),
        (b'{"device": "d2", "device": "d3"}', 422, "bad_parameter"),
        (b'{"device": "d2", "tags": {"k": "1", "\\u006b": "2"}}', 422, "bad_parameter"),
        (b'{"device": "d2"}\0', 400, "bad_payload"),
    ],
)
async def test_devices_that_cannot_be_made(registry: Whole, body: bytes, status: int, code: str) -> None:
    await registry.json("POST", "/v1/devices", status=201, json={"device": "there", "tags": {"k": "v"}})
    got = await registry.call("POST", "/v1/devices", content=body, headers={"content-type": "application/json"})
    assert (got.status_code, got.json()["code"]) == (status, code)
    [listed] = (await registry.json("GET", "/v1/devices"))["devices"]
    assert listed["tags"] == {"k": "v"}


@pytest.mark.parametrize("name", [".", ".."])
async def test_a_name_that_clients_take_for_a_folder(registry: Whole, shared: Shared, name: str) -> None:
    refused = await registry.json("POST", "/v1/devices", status=422, json={"device": name})
    assert "stand for folders" in refused["detail"]
    row = json.dumps({"device": name, "tags": {"k": "v"}})
    imports: dict[str, Any] = {"content": row, "headers": {"content-type": "application/x-ndjson"}}
    [result] = (await registry.json("POST", "/v1/devices:import", status=207, **imports))["results"]
    assert "stand for folders" in result["message"]

    await execute(shared.database.url, f"insert into devices (name) values ('{name}')")  # by an older version
    await registry.json("POST", "/v1/devices:import", **imports)
    path = f"/v1/devices/{name.replace('.', '%252E')}"
    assert (await registry.json("GET", path))["tags"] == {"k": "v"}
    posted = await registry.json("POST", f"{path}/readings", json={"values": {"t": 1}})
    assert (posted["accepted"], posted["refused"]) == (1, 0)
    assert (await registry.json("GET", f"{path}/state"))["metrics"]["t"]["value"] == 1
    assert len((await registry.json("GET", f"{path}/readings"))["readings"]) == 1
    await registry.json("POST", f"{path}/keys:rotate", json={}, status=201)
    assert (await registry.json("PATCH", path, json={"enabled": False}))["enabled"] is False
    await registry.json("DELETE", f"{path}?readings=delete", status=204)
    await registry.json("PUT", f"/v1/metrics/{name.replace('.', '%252E')}", json={"unit": "C"})
    listed = (await registry.json("GET", "/v1/metrics"))["metrics"]
    assert name in [metric["metric"] for metric in listed]


async def test_a_body_may_begin_with_a_byte_order_mark(registry: Whole) -> None:
    body = b'\xef\xbb\xbf{"device": "d2", "tags": {"k": "v"}}\r\n'
    await registry.json("POST", "/v1/devices", status=201, content=body, headers={"content-type": "application/json"})
    assert (await registry.json("GET", "/v1/devices/d2"))["tags"] == {"k": "v"}


@pytest.mark.parametrize(
    ("patch", "enabled", "tags"),
    [
        ({}, True, {"a": "1", "b": "2"}),
        ({"enabled": False}, False, {"a": "1", "b": "2"}),
        ({"tags": {"a": None, "c": "3"}}, True, {"b": "2", "c": "3"}),
        ({"tags": {}}, True, {"a": "1", "b": "2"}),
        ({"tags": None, "enabled": True}, True, {}),
    ],
)
async def test_a_merge_patch(registry: Whole, patch: Any, enabled: bool, tags: dict[str, str]) -> None:
    made = await registry.call("POST", "/v1/devices", json={"device": "d1", "tags": {"a": "1", "b": "2"}})
    got = await registry.call("PATCH", "/v1/devices/d1", json=patch)
    assert got.status_code == 200, got.text
    assert (got.json()["enabled"], got.json()["tags"]) == (enabled, tags)
    changed = (enabled, tags) != (True, {"a": "1", "b": "2"})
    assert (got.headers["etag"] != made.headers["etag"]) is changed
    shown = await registry.call("GET", "/v1/devices/d1", headers={"If-None-Match": got.headers["etag"]})
    assert (shown.status_code, shown.content) == (304, b"")


@pytest.mark.parametrize(
    "patch",
    [{"enabled": None}, {"device": "d2"}, {"tags": {"a b": "x"}}, {"tags": {f"k{n}": "" for n in range(64)}}, [], 1],
)
async def test_patches_that_cannot_be(registry: Whole, patch: Any) -> None:
    made = await registry.call("POST", "/v1/devices", json={"device": "d1", "tags": {"a": "1"}})
    assert (await registry.json("PATCH", "/v1/devices/d1", status=422, json=patch))["code"] == "bad_parameter"
    shown = await registry.call("GET", "/v1/devices/d1")
    assert shown.headers["etag"] == made.headers["etag"]


async def test_a_patch_has_a_media_type(registry: Whole) -> None:
    await registry.json("POST", "/v1/devices", status=201, json={"device": "d1"})
    headers = {"content-type": "application/merge-patch+json"}
    await registry.json("PATCH", "/v1/devices/d1", content=b'{"tags": {"a": "1"}}', headers=headers)
    got = await registry.call("PATCH", "/v1/devices/d1", content=b"a=1", headers={"content-type": "text/plain"})
    assert (got.status_code, got.json()["code"]) == (415, "unsupported_media")
    assert "application/merge-patch+json" in got.headers["accept-post"]


async def test_of_two_writers_who_have_read_the_same_one_wins(registry: Whole) -> None:
    made = await registry.call("POST", "/v1/devices", json={"device": "d1"})
    headers = {"If-Match": made.headers["etag"]}
    patches: list[dict[str, Any]] = [{"tags": {"by": str(n)}} for n in range(8)]
    got = await asyncio.gather(
        *(registry.call("PATCH", "/v1/devices/d1", json=patch, headers=headers) for patch in patches)
    )
    assert sorted(one.status_code for one in got) == [200] + [412] * 7
    [winner] = [one for one in got if one.status_code == 200]
    assert {one.json()["code"] for one in got if one is not winner} == {"precondition_failed"}
    assert (await registry.json("GET", "/v1/devices/d1"))["tags"] == winner.json()["tags"]
    assert (await registry.call("DELETE", "/v1/devices/d1", headers=headers)).status_code == 412
    headers = {"If-Match": f'"other", {winner.headers["etag"]}'}
    assert (await registry.call("DELETE", "/v1/devices/d1", headers=headers)).status_code == 204


@pytest.mark.parametrize(("header", "status"), [("*", 200), ('W/"1-0"', 412), ("nonsense", 412), ("", 412)])
async def test_what_if_match_may_say(registry: Whole, header: str, status: int) -> None:
    await registry.json("POST", "/v1/devices", status=201, json={"device": "d1"})
    headers = {"If-Match": header}
    got = await registry.call("PATCH", "/v1/devices/d1", json={"enabled": False}, headers=headers)
    assert got.status_code == status


async def test_a_device_that_comes_back_is_another_one(registry: Whole) -> None:
    first = await registry.call("POST", "/v1/devices", json={"device": "d1"})
    await registry.json("DELETE", "/v1/devices/d1", status=204)
    second = await registry.call("POST", "/v1/devices", json={"device": "d1"})
    assert first.headers["etag"] != second.headers["etag"]


async def test_who_may_do_what(registry: Whole) -> None:
    await registry.json("POST", "/v1/devices", status=201, json={"device": "d1"})
    await registry.json("POST", "/v1/devices", status=201, json={"device": "d2"})
    tokens = {}
    for asked in ({"role": "reader"}, {"role": "ingest"}, {"role": "device", "device": "d1"}):
        tokens[asked["role"]] = (await registry.json("POST", "/v1/keys", status=201, json=asked))["token"]
    allowed = {
        ("GET", "/v1/devices"): {"reader"},
        ("GET", "/v1/devices/d1"): {"reader", "device"},
        ("GET", "/v1/devices/d2"): {"reader"},
        ("GET", "/v1/metrics"): {"reader"},
        ("POST", "/v1/devices"): set(),
        ("PATCH", "/v1/devices/d1"): set(),
        ("DELETE", "/v1/devices/d1"): set(),
        ("POST", "/v1/devices:import"): set(),
        ("POST", "/v1/devices/d1/keys:rotate"): set(),
        ("PUT", "/v1/metrics/t"): set(),
        ("GET", "/v1/keys"): set(),
        ("POST", "/v1/keys"): set(),
        ("DELETE", "/v1/keys/1"): set(),
        ("GET", "/v1/audit"): set(),
    }
    for (method, path), roles in allowed.items():
        for role, token in tokens.items():
            got = await registry.call(method, path, headers={"Authorization": f"Bearer {token}"})
            assert got.status_code == (200 if role in roles else 403), (method, path, role)
        got = await registry.call(method, path, headers={"Authorization": "Bearer nobody"})
        assert got.status_code == 401, (method, path)


@pytest.mark.parametrize("name", ["d%00", "%ff", "a%20b", "x" * 129])
@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
async def test_names_that_no_device_has(registry: Whole, method: str, name: str) -> None:
    got = await registry.call(method, f"/v1/devices/{name}")
    assert (got.status_code, got.json()["code"]) == (422, "bad_parameter")


@pytest.mark.parametrize("token", ["%s\t", "%s \t ", "\t%s"])
@pytest.mark.parametrize("more", ["Accept: */*", "Cookie: a=b"], ids=["express", "sanic"])
async def test_white_space_around_a_token_is_none_of_it(registry: Whole, token: str, more: str) -> None:
    url = registry.client.base_url
    reader, writer = await asyncio.open_connection(url.host, url.port)
    head = f"GET /v1/devices/none/state HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {token % ADMIN}\r\n{more}\r\n\r\n"
    writer.write(head.encode())
    assert (await reader.readline()).startswith(b"HTTP/1.1 404 ")  # and not 401
    writer.close()
