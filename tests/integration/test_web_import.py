"""Bulk import of devices over HTTP, on the parts of production: a result for each row, one transaction for all."""

import json
from typing import Any

import pytest

from gateway.domain.device_import import MAX_ROWS
from tests.integration.conftest import Shared
from tests.integration.whole_gateway import Whole
from tests.integration.writing import fetch

pytestmark = pytest.mark.asyncio(loop_scope="module")

NDJSON, CSV = "application/x-ndjson", "text/csv; charset=utf-8"


ROWS = (
    '\N{BYTE ORDER MARK}{"device": "new", "tags": {"site": "Köln"}, "enabled": false}'.encode(),
    b'{"device": "old", "tags": {"a": null, "c": "3"}}',
    b"",
    b'{"device": "old", "tags": {"c": "3"}}\r',
    b'{"device": "bad name"}',
    b'{"device": "x", "tags": {"a b": "1"}}',
    b'{"device": "x", "nonsense": 1}',
    b"{",
    b'{"device": "new", "enabled": true}',
)


async def send(registry: Whole, body: str | bytes, media: str, *, status: int) -> dict[str, Any]:
    headers = {"content-type": media}
    got: dict[str, Any] = await registry.json(
        "POST", "/v1/devices:import", content=body, headers=headers, status=status
    )
    return got


async def tags(registry: Whole) -> dict[str, Any]:
    listed = await registry.json("GET", "/v1/devices")
    return {one["device"]: (one["enabled"], one["tags"]) for one in listed["devices"]}


async def test_rows_create_update_and_are_refused_one_by_one(registry: Whole) -> None:
    await registry.json("POST", "/v1/devices", status=201, json={"device": "old", "tags": {"a": "1", "b": "2"}})
    body = b"\n".join(ROWS)
    got = await send(registry, body, NDJSON, status=207)
    assert {name: got[name] for name in ("created", "updated", "unchanged", "refused")} == {
        "created": 1,
        "updated": 2,
        "unchanged": 1,
        "refused": 4,
    }
    assert [(one["line"], one["device"], one["status"], one["code"]) for one in got["results"]] == [
        (1, "new", "created", None),
        (2, "old", "updated", None),
        (4, "old", "unchanged", None),
        (5, "bad name", "refused", "bad_parameter"),
        (6, "x", "refused", "bad_parameter"),
        (7, None, "refused", "bad_parameter"),
        (8, None, "refused", "bad_payload"),
        (9, "new", "updated", None),
    ]
    assert await tags(registry) == {"new": (True, {"site": "Köln"}), "old": (True, {"b": "2", "c": "3"})}
    assert (await send(registry, '{"device": "new"}', NDJSON, status=200))["unchanged"] == 1


async def test_csv(registry: Whole) -> None:
    body = '\ufeffdevice,tag:site,enabled,tag:floor\r\nd1,"a, ""b""",,2\r\nd2,,false,\r\nd3,x,maybe,\r\nd4,x\r\n'
    got = await send(registry, body.encode(), CSV, status=207)
    assert [(one["line"], one["status"]) for one in got["results"]] == [
        (2, "created"),
        (3, "created"),
        (4, "refused"),
        (5, "refused"),
    ]
    assert await tags(registry) == {"d1": (True, {"site": 'a, "b"', "floor": "2"}), "d2": (False, {})}


@pytest.mark.parametrize(
    ("body", "media", "status", "code"),
    [
        (b"device\n\xff", CSV, 400, "bad_payload"),
        (b'device\n"d1', CSV, 400, "bad_payload"),
        (b"", CSV, 422, "bad_parameter"),
        (b"name\nd1", CSV, 422, "bad_parameter"),
        (b"device,device\nd1,d1", CSV, 422, "bad_parameter"),
        (b"device,tag:a b\nd1,x", CSV, 422, "bad_parameter"),
        (b"device,tag:\nd1,x", CSV, 422, "bad_parameter"),
        (b"{}", "application/json", 415, "unsupported_media"),
        (b"device\n" + b"d\n" * (MAX_ROWS + 1), CSV, 413, "too_large"),
        (b'{"device": "d"}\n' * (MAX_ROWS + 1), NDJSON, 413, "too_large"),
    ],
)
async def test_bodies_that_cannot_be_imported(registry: Whole, body: bytes, media: str, status: int, code: str) -> None:
    assert (await send(registry, body, media, status=status))["code"] == code
    assert await tags(registry) == {}


async def test_more_tags_than_a_device_may_have_are_refused_where_they_add_up(registry: Whole) -> None:
    first = json.dumps({"device": "d1", "tags": {f"a{n}": "" for n in range(40)}})
    second = json.dumps({"device": "d1", "tags": {f"b{n}": "" for n in range(40)}})
    got = await send(registry, f"{first}\n{second}", NDJSON, status=207)
    assert [one["status"] for one in got["results"]] == ["created", "refused"]
    assert len((await tags(registry))["d1"][1]) == 40


async def test_ten_thousand_rows_are_one_act(registry: Whole, shared: Shared) -> None:
    names = [f"d{n:05}" for n in range(MAX_ROWS)]
    before = await fetch(shared.database.url, "select n from registry_revision")
    for status, site in (("created", "a"), ("updated", "b"), ("unchanged", "b")):
        body = "device,tag:site\n" + "".join(f"{name},{site}\n" for name in names)
        assert (await send(registry, body, CSV, status=200))[status] == MAX_ROWS
    [(revisions,)] = await fetch(shared.database.url, "select n - $1 from registry_revision", before[0][0])
    assert revisions <= 3, "the counter moves once a statement"
    entries = (await registry.json("GET", "/v1/audit"))["entries"]
    assert [(one["action"], one["detail"]["created"], one["detail"]["updated"]) for one in entries] == [
        ("device.import", 0, MAX_ROWS),
        ("device.import", MAX_ROWS, 0),
    ]
