"""POST /v1/readings and /v1/devices/{device}/readings over a real server: statuses, guards, parameters, receipts."""

import gzip
import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from gateway.core.errors import BadPayload, Overloaded, SinkFault, SinkUnavailable, TooLarge
from gateway.core.settings import HttpSettings
from gateway.domain.model import Receipt, Refusal
from tests.integration.web_server import Door, serving

BODY = b'{"device":"d1","metric":"t","value":1.5}'


@pytest_asyncio.fixture(name="door")
async def running() -> AsyncIterator[Door]:
    async with serving() as door:
        yield door


def receipt(accepted: int, *errors: Refusal) -> Receipt:
    return Receipt(accepted, 0, 0, len(errors), "db", list(errors), errors_truncated=False)


async def answering(door: Door, said: Receipt) -> None:
    async def answer(_: bytes) -> Receipt:
        return said

    door.intake.answer = answer


async def test_a_clean_body_gets_200_and_the_receipt(door: Door) -> None:
    got = await door.client.post("/v1/readings", content=BODY)
    assert got.status_code == 200
    assert got.headers["content-type"] == "application/json"
    assert got.json() == {
        "accepted": 5,
        "duplicates": 0,
        "conflicts": 0,
        "refused": 0,
        "durability": "db",
        "errors": [],
        "errors_truncated": False,
    }
    [taken] = door.intake.taken
    assert (taken.body, taken.device, taken.atomic, taken.max_errors) == (BODY, None, False, 100)


REFUSAL = Refusal(17, "/17/values/t", "not_finite", "value 1e999 is not finite", device="d1", metric="t")


@pytest.mark.parametrize(("said", "status"), [(receipt(4, REFUSAL), 207), (receipt(0, REFUSAL), 422)])
async def test_refusals_are_listed_and_decide_the_status(door: Door, said: Receipt, status: int) -> None:
    await answering(door, said)
    got = await door.client.post("/v1/readings", content=BODY)
    assert got.status_code == status
    assert got.json()["errors"] == [
        {
            "index": 17,
            "path": "/17/values/t",
            "code": "not_finite",
            "message": "value 1e999 is not finite",
            "device": "d1",
            "metric": "t",
        }
    ]


async def test_the_device_of_the_path_is_passed_on_decoded(door: Door) -> None:
    got = await door.client.post("/v1/devices/d%3A1/readings", content=BODY)
    assert got.status_code == 200
    assert door.intake.taken[0].device == "d:1"


@pytest.mark.parametrize("name", ["d%201", "d%2F1", "%ff", "x" * 129, "%00"])
async def test_a_device_name_that_cannot_be_is_422(door: Door, name: str) -> None:
    got = await door.client.post(f"/v1/devices/{name}/readings", content=BODY)
    assert (got.status_code, got.json()["code"]) == (422, "bad_parameter")
    assert not door.intake.taken


@pytest.mark.parametrize(
    ("query", "atomic", "max_errors"),
    [
        ("", False, 100),
        ("atomic=true", True, 100),
        ("atomic=false", False, 100),
        ("errors=all", False, 10_000),
        ("atomic=true&errors=all", True, 10_000),
    ],
)
async def test_parameters(door: Door, query: str, atomic: bool, max_errors: int) -> None:
    assert (await door.client.post(f"/v1/readings?{query}", content=BODY)).status_code == 200
    assert (door.intake.taken[0].atomic, door.intake.taken[0].max_errors) == (atomic, max_errors)


@pytest.mark.parametrize("query", ["atomic=yes", "atomic=", "errors=some", "atomc=true", "atomic=true&x=1"])
async def test_a_parameter_with_a_typo_is_422_and_nothing_is_taken(door: Door, query: str) -> None:
    got = await door.client.post(f"/v1/readings?{query}", content=BODY)
    assert (got.status_code, got.json()["code"]) == (422, "bad_parameter")
    assert not door.intake.taken


@pytest.mark.parametrize(
    "media", ["application/json", "application/json; charset=utf-8", "Application/JSON", "application/json;x=y"]
)
async def test_json_media_types_are_read(door: Door, media: str) -> None:
    got = await door.client.post("/v1/readings", content=BODY, headers={"Content-Type": media})
    assert got.status_code == 200


FORM = "application/x-www-form-urlencoded"
"""What `curl -d` calls a body unless it is told."""


@pytest.mark.parametrize(
    "body", [BODY, b"[%b]" % BODY, b" \r\n\t" + BODY, b"\xef\xbb\xbf" + BODY, b"\xef\xbb\xbf\n" + BODY]
)
@pytest.mark.parametrize("media", [FORM, "Application/X-WWW-Form-URLEncoded; charset=UTF-8"])
async def test_json_that_curl_labels_as_a_form_is_read(door: Door, body: bytes, media: str) -> None:
    got = await door.client.post("/v1/devices/d1/readings", content=body, headers={"Content-Type": media})
    assert got.status_code == 200
    assert door.intake.taken[0].body == body


async def test_json_that_curl_labels_as_a_form_is_read_when_it_is_decompressed(door: Door) -> None:
    headers = {"Content-Type": FORM, "Content-Encoding": "gzip"}
    assert (await door.client.post("/v1/readings", content=gzip.compress(BODY), headers=headers)).status_code == 200
    got = await door.client.post("/v1/readings", content=gzip.compress(b"t=1"), headers=headers)
    assert (got.status_code, got.json()["code"]) == (415, "unsupported_media")


@pytest.mark.parametrize(
    "body", [b"", b"t=1", b"%7B%22device%22", b"\x00{", b"1", b"\x0b{}", b'"{}"', b"\n\xef\xbb\xbf{}"]
)
async def test_a_form_that_does_not_begin_as_json_is_415(door: Door, body: bytes) -> None:
    got = await door.client.post("/v1/readings", content=body, headers={"Content-Type": FORM, "Idempotency-Key": "k"})
    assert (got.status_code, got.json()["code"]) == (415, "unsupported_media")
    assert got.headers["accept-post"] == "application/json"
    assert "send application/json" in got.json()["detail"]
    assert not door.intake.taken


@pytest.mark.parametrize("media", ["text/plain", "application/jsonx", "multipart/form-data; boundary=x", "json", ""])
async def test_another_media_type_is_415_with_the_one_that_is_read(door: Door, media: str) -> None:
    got = await door.client.post("/v1/readings", content=BODY, headers={"Content-Type": media})
    assert (got.status_code, got.json()["code"]) == (415, "unsupported_media")
    assert got.headers["accept-post"] == "application/json"
    assert not door.intake.taken


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer wrong", "Basic YTpi", "admin"])
async def test_without_a_valid_credential_it_is_401(door: Door, authorization: str | None) -> None:
    door.client.headers.pop("Authorization")
    headers = {} if authorization is None else {"Authorization": authorization}
    got = await door.client.post("/v1/readings", content=BODY, headers=headers)
    assert (got.status_code, got.json()["code"]) == (401, "unauthorized")
    assert got.headers["www-authenticate"] == "Bearer"
    assert not door.intake.taken


@pytest.mark.parametrize("name", ["Cookie", "Proxy-Authorization"])
async def test_nothing_that_a_browser_sends_of_itself_is_a_credential(door: Door, name: str) -> None:
    """So no page elsewhere can post in somebody's name, and a body may be called a form."""
    door.client.headers.pop("Authorization")
    headers = {name: "Bearer admin; authorization=Bearer admin; token=admin; key=admin", "Content-Type": FORM}
    got = await door.client.post("/v1/readings?token=admin&authorization=admin", content=BODY, headers=headers)
    assert (got.status_code, "set-cookie" in got.headers) == (401, False)


@pytest.mark.parametrize(
    ("token", "path", "status"),
    [
        ("reader", "/v1/readings", 403),
        ("reader", "/v1/devices/d1/readings", 403),
        ("ingest", "/v1/readings", 200),
        ("ingest", "/v1/devices/d1/readings", 200),
        ("ingest", "/v1/devices/e1/readings", 403),
        ("d1", "/v1/readings", 200),
        ("d1", "/v1/devices/d1/readings", 200),
        ("d1", "/v1/devices/d2/readings", 403),
    ],
)
async def test_who_may_write_what(door: Door, token: str, path: str, status: int) -> None:
    for _ in range(2):  # the second time the principal comes from the cache
        got = await door.client.post(path, content=BODY, headers={"Authorization": f"Bearer {token}"})
        assert got.status_code == status
        if status == 403:
            assert got.json()["code"] == "forbidden"
    assert len(door.intake.taken) == (2 if status == 200 else 0)


@pytest.mark.parametrize(
    ("exc", "status", "code"),
    [
        (BadPayload("line 1 is not JSON"), 400, "bad_payload"),
        (TooLarge("too many readings", limit="http.max_readings", value=7), 413, "too_large"),
        (Overloaded(limit="queue.max_rows", value=9), 503, "overloaded"),
        (SinkUnavailable(), 503, "database_unavailable"),
        (SinkFault("disk full"), 503, "database_fault"),
    ],
)
async def test_what_intake_refuses_becomes_a_problem(door: Door, exc: Exception, status: int, code: str) -> None:
    door.intake.fail(exc)
    got = await door.client.post("/v1/readings", content=BODY)
    assert (got.status_code, got.json()["code"]) == (status, code)
    assert got.headers["content-type"] == "application/problem+json"
    if status == 503:
        assert 1 <= int(got.headers["retry-after"]) <= 7


async def test_a_mistake_of_ours_is_a_500_that_tells_nothing(door: Door) -> None:
    door.intake.fail(RuntimeError("postgresql://user:secret@host"))
    got = await door.client.post("/v1/readings", content=BODY, headers={"X-Request-Id": "mine"})
    assert got.status_code == 500
    assert (got.json()["code"], got.json()["request_id"]) == ("internal", "mine")
    assert "secret" not in got.text
    assert "Traceback" not in got.text


async def test_the_bytes_in_hand_are_given_back_whatever_happens(door: Door) -> None:
    await door.client.post("/v1/readings", content=BODY)
    door.intake.fail(RuntimeError("x"))
    await door.client.post("/v1/readings", content=BODY)
    await door.client.post("/v1/readings", content=b"x", headers={"Content-Encoding": "gzip"})
    assert door.context.bodies.inflight_bytes == 0


async def test_no_more_bytes_than_allowed_are_in_hand() -> None:
    async with serving(HttpSettings(drain_secs=0, max_inflight_bytes=100)) as door:
        got = await door.client.post("/v1/readings", content=b" " * 101)
        assert (got.status_code, got.json()["code"]) == (503, "overloaded")
        assert (got.json()["limit"], got.json()["value"]) == ("http.max_inflight_bytes", 100)
        assert (await door.client.post("/v1/readings", content=b" " * 100)).status_code == 200


async def test_request_ids(door: Door) -> None:
    seen = set()
    for offered in (None, "x" * 129, "", "tab\there"):
        headers = {} if offered is None else {"X-Request-Id": offered}
        got = await door.client.post("/v1/readings", content=BODY, headers=headers)
        assert got.headers["x-request-id"] != offered
        seen.add(got.headers["x-request-id"])
    assert len(seen) == 4
    got = await door.client.post("/v1/readings", content=BODY, headers={"X-Request-Id": "abc 1~"})
    assert got.headers["x-request-id"] == "abc 1~"
    got = await door.client.post("/nowhere", headers={"X-Request-Id": "abc"})
    assert (got.headers["x-request-id"], got.json()["request_id"]) == ("abc", "abc")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("POST", "/v1/devices//readings", 404, "not_found"),
        ("PUT", "/v1/readings", 405, "method_not_allowed"),
        ("DELETE", "/v1/readings", 405, "method_not_allowed"),
    ],
)
async def test_paths_and_methods_that_are_not_served(
    door: Door, method: str, path: str, status: int, code: str
) -> None:
    got = await door.client.request(method, path)
    assert got.status_code == status
    problem = got.json()
    assert problem == {
        "type": f"urn:device-gateway:problem:{code}",
        "title": {404: "Not Found", 405: "Method Not Allowed"}[status],
        "status": status,
        "detail": problem["detail"],
        "code": code,
        "request_id": got.headers["x-request-id"],
    }
    assert problem["detail"]
    if status == 405:
        assert got.headers["allow"] == "GET, HEAD, POST"
    assert json.loads(got.content) == problem


async def test_while_the_queue_is_full_bodies_are_not_even_read(door: Door) -> None:
    door.intake.full = Overloaded("the write queue is full", limit="queue.max_rows")
    got = await door.client.post("/v1/readings", content=BODY)
    assert (got.status_code, got.json()["code"], got.json()["limit"]) == (503, "overloaded", "queue.max_rows")
    assert int(got.headers["retry-after"]) in (1, 2)
    assert door.intake.taken == []
    door.intake.full = None
    assert (await door.client.post("/v1/readings", content=BODY)).status_code == 200
