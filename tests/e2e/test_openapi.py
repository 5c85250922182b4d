"""A real gateway against its own OpenAPI document: a tour of all operations, and what schemathesis makes up."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import httpx
import pytest

from gateway.app.dev_servers.valkey import ValkeyServer
from tests.conformance import Answered, document, path_of
from tests.e2e.fuzz.ground import ADMIN, READINGS, filled_gateway
from tests.e2e.serving import ADMIN_KEY, Gateway
from tests.servers import plain_http
from tests.servers.databases import Databases

SPEC = document().document
CONFIG = Path(__file__).parent / "fuzz" / "schemathesis.toml"
ROOT = Path(__file__).resolve().parents[2]
SEED = 4
ENDLESS = ("/v1/stream", "/v1/ws")
OPEN = ("livez", "readyz", "metrics", "openapi", "docs", "docs_asset", "page", "static")
"""Operations that look at no parameter: a load balancer may add what it likes."""
SINCE = "from=2026-01-31T00:00:00Z&to=2026-02-01T00:00:00Z"
NDJSON = {"Content-Type": "application/x-ndjson"}
PATCH = {"Content-Type": "application/merge-patch+json"}

FILES = ("/", "/static/main.js", "/docs", "/docs/start.js", "/openapi.json")


class Call(NamedTuple):
    """A call and the status it must have."""

    status: int
    method: str
    path: str
    body: object = None
    headers: Mapping[str, str] = MappingProxyType({})


TOUR = [
    Call(200, "POST", "/v1/readings", READINGS, {"Idempotency-Key": "k1"}),
    Call(200, "POST", "/v1/readings", READINGS, {"Idempotency-Key": "k1"}),
    Call(422, "POST", "/v1/readings", READINGS[:1], {"Idempotency-Key": "k1"}),
    Call(207, "POST", "/v1/readings", [READINGS[0], {"device": "d1"}]),
    Call(422, "POST", "/v1/readings?errors=all", {"device": "d1", "values": {"t": None}}),
    Call(400, "POST", "/v1/readings", b"{"),
    Call(415, "POST", "/v1/readings", b"<a/>", {"Content-Type": "text/xml"}),
    Call(422, "POST", "/v1/readings?atomic=maybe", READINGS),
    Call(200, "POST", "/v1/devices/d1/readings", {"ts": 1770000000, "values": {"n": 1}}),
    Call(422, "POST", "/v1/devices/d%201/readings", {"values": {"n": 1}}),
    Call(200, "GET", "/v1/devices/d1/state?metrics=temperature"),
    Call(304, "GET", "/v1/devices/d1/state", None, {"If-None-Match": "*"}),
    Call(404, "GET", "/v1/devices/nobody/state"),
    Call(200, "POST", "/v1/states:query", {"devices": ["d1", "nobody"]}),
    Call(200, "POST", "/v1/states:query", {"devices": ["d1", "a\0b", "é"]}),
    Call(200, "POST", "/v1/states:query", {"devices": ["a\0b"]}),
    Call(200, "POST", "/v1/states:query", {"prefix": "d", "limit": 1}),
    Call(422, "POST", "/v1/states:query", {"devices": []}),
    Call(200, "GET", f"/v1/readings?device=d1,d2&{SINCE}&limit=3"),
    Call(200, "GET", f"/v1/readings?device=d1&{SINCE}&limit=3", None, {"Accept": "application/x-ndjson"}),
    Call(422, "GET", "/v1/readings"),
    Call(200, "GET", f"/v1/devices/d1/readings?{SINCE}&limit=3&bigint=string"),
    Call(200, "GET", f"/v1/devices/d1/readings?{SINCE}", None, {"Accept": "text/csv"}),
    Call(200, "GET", f"/v1/devices/d1/readings?{SINCE}&every=1h&fn=avg,min,max,sum,count,first,last,p50,p95"),
    Call(200, "GET", f"/v1/devices/d1/readings?{SINCE}&points=3"),
    Call(422, "GET", "/v1/devices/d1/readings?from=0&every=1s"),
    Call(404, "GET", "/v1/devices/nobody/readings"),
    Call(200, "GET", "/v1/devices?prefix=d&limit=1&stale=1s"),
    Call(422, "GET", "/v1/devices?cursor=x"),
    Call(201, "POST", "/v1/devices", {"device": "new", "tags": {"site": "north"}}),
    Call(409, "POST", "/v1/devices", {"device": "new"}),
    Call(200, "GET", "/v1/devices/d1"),
    Call(304, "GET", "/v1/devices/d1", None, {"If-None-Match": "*"}),
    Call(404, "GET", "/v1/devices/nobody"),
    Call(200, "PATCH", "/v1/devices/new", b'{"tags": {"site": null}}', PATCH),
    Call(412, "PATCH", "/v1/devices/new", b"{}", {**PATCH, "If-Match": '"0-0"'}),
    Call(415, "PATCH", "/v1/devices/new", b"", {"Content-Type": "text/plain"}),
    Call(200, "POST", "/v1/devices:import", b'{"device": "new"}\n{"device": "more"}\n', NDJSON),
    Call(207, "POST", "/v1/devices:import", b"device,enabled\nmore,false\nx y,true\n", {"Content-Type": "text/csv"}),
    Call(400, "POST", "/v1/devices:import", b'device\n"', {"Content-Type": "text/csv"}),
    Call(201, "POST", "/v1/devices/new/keys:rotate", {"overlap_secs": 1}),
    Call(404, "POST", "/v1/devices/nobody/keys:rotate"),
    Call(409, "DELETE", "/v1/devices/d2"),
    Call(204, "DELETE", "/v1/devices/new"),
    Call(404, "DELETE", "/v1/devices/new"),
    Call(200, "GET", "/v1/metrics?limit=1"),
    Call(422, "GET", "/v1/metrics?limit=0"),
    Call(200, "PUT", "/v1/metrics/temperature", {"unit": "°C"}),
    Call(422, "PUT", "/v1/metrics/temperature", {"unit": ""}),
    Call(200, "GET", "/v1/keys?all=true"),
    Call(422, "GET", "/v1/keys?role=king"),
    Call(201, "POST", "/v1/keys", {"role": "ingest", "prefix": "d", "expires_days": 1}),
    Call(422, "POST", "/v1/keys", {"role": "device"}),
    Call(204, "DELETE", "/v1/keys/1"),
    Call(404, "DELETE", "/v1/keys/999999"),
    Call(200, "GET", "/v1/audit?since=-1h&limit=2"),
    Call(422, "GET", "/v1/audit?since=yesterday"),
    Call(422, "GET", "/v1/stream?tag="),
    Call(426, "GET", "/v1/ws"),
    Call(200, "GET", "/v1/dead-letters?limit=2"),
    Call(422, "GET", "/v1/dead-letters?source="),
    Call(200, "GET", "/v1/dead-letters/2"),
    Call(404, "GET", "/v1/dead-letters/999999"),
    Call(422, "POST", "/v1/dead-letters/2:replay"),
    Call(200, "POST", "/v1/dead-letters/1:replay"),
    Call(404, "POST", "/v1/dead-letters/999999:replay"),
    Call(200, "POST", "/v1/dead-letters:replay?limit=1"),
    Call(422, "POST", "/v1/dead-letters:replay", {"code": "bad_payload"}),
    Call(200, "GET", "/v1/ledger"),
    Call(422, "GET", "/v1/ledger?since=now"),
    Call(200, "GET", "/v1/fleet"),
    *[Call(200, method, path) for method in ("GET", "HEAD") for path in FILES],
    *[Call(200, method, path) for method in ("GET", "HEAD") for path in ("/livez", "/readyz", "/metrics")],
    *[Call(304, "GET", path, None, {"If-None-Match": "*"}) for path in FILES],
    Call(404, "HEAD", "/docs/nothing"),
    Call(404, "HEAD", "/static/nothing"),
    Call(404, "GET", "/nothing"),
    Call(405, "PUT", "/v1/devices/d1"),
]


@pytest.fixture(scope="module")
def gateway(
    timescale_databases: Databases, valkey_server: ValkeyServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    with filled_gateway(timescale_databases, valkey_server.url(), tmp_path_factory.mktemp("openapi")) as filled:
        yield filled


@pytest.fixture
def client(gateway: Gateway) -> Iterator[httpx.Client]:
    with plain_http.Client(base_url=gateway.url, trust_env=False, timeout=30) as client:
        yield client


def asked(client: httpx.Client, call: Call, **headers: str) -> httpx.Response:
    """Make a call, and check the answer against the document."""
    body: dict[str, Any] = {"content": call.body} if isinstance(call.body, bytes) else {"json": call.body}
    answer = client.request(
        call.method, call.path, headers={**headers, **call.headers}, **({} if call.body is None else body)
    )
    document().check(Answered(call.method, path_of(answer), answer.status_code, answer.headers, answer.content))
    return answer


def test_a_tour_of_all_operations_meets_nothing_undocumented(client: httpx.Client) -> None:
    done: set[tuple[str | None, str, bool]] = set()
    for call in TOUR:
        answer = asked(client, call, **ADMIN)
        assert answer.status_code == call.status, f"{call}: {answer.text}"
        done.add((document().path_of(call.path.partition("?")[0]), call.method.lower(), call.status < 400))
    for path, methods in SPEC["paths"].items():
        for method in methods:
            assert path in ENDLESS or (path, method, True) in done, (method, path)


def test_every_call_that_reads_json_says_that_it_may_be_labelled_as_a_form() -> None:
    bodies = [operation["requestBody"] for _, _, operation in operations() if "requestBody" in operation]
    told = ["application/x-www-form-urlencoded" in body.get("description", "") for body in bodies]
    assert told == ["application/json" in body["content"] for body in bodies]
    assert sum(told) >= len(told) - 1 > 5  # all but the import


def test_a_stream_is_what_the_document_says(client: httpx.Client) -> None:
    with client.stream("GET", "/v1/stream?device=d1", headers=ADMIN) as answer:
        document().check(Answered("GET", path_of(answer), answer.status_code, answer.headers, None))
        first = next(line for line in answer.iter_lines() if line.startswith("event:"))
        assert (answer.status_code, first) == (200, "event: reset")


def test_without_a_credential_nothing_is_told(client: httpx.Client) -> None:
    for path, method, operation in operations():
        answer = asked(client, Call(0, method.upper(), as_called(path, operation)))
        if operation["security"]:
            assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized"), (method, path)
        else:
            assert answer.status_code < 500, (method, path)


def test_every_parameter_that_is_asked_for_is_described_and_no_other(client: httpx.Client) -> None:
    for path, method, operation in operations():
        described = {one["name"] for one in operation["parameters"] if one["in"] == "query"}
        if operation["operationId"].removesuffix("_head") in OPEN or path == "/v1/ws":
            assert described <= {"name[]"}, path  # of /metrics, as Prometheus' federation has it
            continue
        known = known_parameters(client, method, path, operation)
        assert known == described, (method, path)


def known_parameters(client: httpx.Client, method: str, path: str, operation: dict[str, Any]) -> set[str]:
    """The parameters that a call says it knows when it is asked with one that nobody knows."""
    called = as_called(path, operation)
    address = f"{called}{'&' if '?' in called else '?'}no_such_parameter=1"
    media, content = next(iter(operation.get("requestBody", {}).get("content", {"": {}}).items()))
    example = next((one["value"] for one in content.get("examples", {}).values()), None)
    body = example if media.endswith("json") else None
    headers = {"Content-Type": media} if media else {}
    answer = asked(client, Call(422, method.upper(), address, body, headers), **ADMIN)
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_parameter"), f"{method} {path}: {answer.text}"
    found = re.search(r"known here: (.*)", answer.json()["detail"])
    assert found, answer.text
    return set(found[1].split(", ")) - {"none"}


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in SPEC["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def as_called(path: str, operation: dict[str, Any]) -> str:
    """A path with the examples of its parameters, and the query it cannot do without."""
    for one in operation["parameters"]:
        if one["in"] == "path":
            path = path.replace(f"{{{one['name']}}}", str(one["example"]))
    needed = [
        f"{one['name']}={one['example'][0]}"
        for one in operation["parameters"]
        if one["in"] == "query" and one["required"]
    ]
    return "?".join([path, *needed])


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(("-H", f"Authorization: Bearer {ADMIN_KEY}", "-n", "4"), id="admin"),
        pytest.param(("--phases", "examples,fuzzing", "-n", "4"), id="nobody"),
    ],
)
def test_schemathesis_finds_nothing(gateway: Gateway, tmp_path: Path, options: tuple[str, ...]) -> None:
    excluded = [word for path in ENDLESS for word in ("--exclude-path", path)]
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "run", *excluded, *options]
    limits = ["--seed", str(SEED), "--request-timeout", "20", "--generation-database", "none", "--no-color"]
    done = subprocess.run(
        [*command, *limits, f"{gateway.url}/openapi.json"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2000:]
    cases = re.search(r"(\d+) generated, (\d+) passed", done.stdout)
    assert cases, done.stdout
    assert int(cases[1]) > 100
    assert json.loads(plain_http.get(f"{gateway.url}/readyz", trust_env=False).content)["status"] == "ready"
