"""The OpenAPI document against the standard, the routes and the page on errors; the page that shows it."""

import json
import re
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from gateway.web.openapi.descriptions import DESCRIPTIONS
from gateway.web.operations import OPERATIONS
from tests.conformance import document
from tests.docs.test_reference import codes_below
from tests.integration.web_server import serving

SPEC = document().document
KIND = {"unavailable"}
"""What the others of its kind are; nobody is told it as it is."""
NAMES = re.compile(r"\{(\w+)")


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in SPEC["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def codes_of(response: dict[str, Any]) -> set[str]:
    """The problem codes that a response may have."""
    content = document().resolve(response).get("content", {})
    named = content.get("application/problem+json", {}).get("schema", {}).get("allOf", [{}, {}])[1]
    return set(named.get("properties", {}).get("code", {}).get("enum", ()))


def test_it_is_openapi_3_1() -> None:
    assert SPEC["openapi"].startswith("3.1.")
    assert list(OpenAPIV31SpecValidator(SPEC).iter_errors()) == []


def test_every_route_is_described_and_nothing_else() -> None:
    assert sorted(DESCRIPTIONS) == sorted(one.label for one in OPERATIONS)
    routed = {(one.method.lower(), re.sub(r":\w+\}", "}", one.path)) for one in OPERATIONS}
    routed |= {("head", path) for method, path in routed if method == "get" and not path.startswith("/v1/")}
    assert {(method, path) for method, path, _ in operations()} == routed


def test_every_operation_says_what_a_reader_needs() -> None:
    for method, path, operation in operations():
        assert operation["summary"], (method, path)
        assert operation["description"], (method, path)
        assert any(status < "400" for status in operation["responses"]), (method, path)
        described = [one["name"] for one in operation["parameters"] if one["in"] == "path"]
        assert described == NAMES.findall(path), (method, path)
        assert all(one["description"] for one in operation["parameters"]), (method, path)


def test_who_may_call_is_told_wherever_a_credential_is_needed() -> None:
    for method, path, operation in operations():
        told = {role for one in operation["security"] for role in one["bearer"]}
        assert bool(told) == ("401" in operation["responses"]), (method, path)
        assert bool(told) == path.startswith("/v1/"), (method, path)


def test_every_problem_of_the_page_on_errors_is_reachable_and_no_other() -> None:
    reachable = {
        code for _, _, one in operations() for response in one["responses"].values() for code in codes_of(response)
    }
    unrouted = {
        code for name in ("not_found", "method_not_allowed") for code in codes_of(SPEC["components"]["responses"][name])
    }
    assert unrouted == {"not_found", "method_not_allowed"}
    assert reachable | unrouted | KIND == set(codes_below("Problems"))


def test_every_response_component_is_used() -> None:
    used = set(re.findall(r"#/components/responses/([\w.]+)", json.dumps(SPEC)))
    assert used == set(SPEC["components"]["responses"]) - {"not_found", "method_not_allowed"}


@pytest.mark.parametrize(("method", "path"), [(m, p) for m, p, one in operations() if "requestBody" in one])
def test_the_examples_of_bodies_fit_their_schemas(method: str, path: str) -> None:
    shown = 0
    for content in SPEC["paths"][path][method]["requestBody"]["content"].values():
        for example in content["examples"].values():
            document().validate(content["schema"], example["value"])
            shown += 1
    assert shown


@pytest.mark.parametrize(
    "body",
    [
        {"device": "d1", "values": {"t": 1}, "extra": 1},
        {"device": "d1", "values": {}},
        {"device": "d1", "values": {"t": None}},
        {"device": "d 1", "values": {"t": 1}},
        {"device": "d1", "metric": "t", "value": [1]},
        {"device": "d1", "ts": "yesterday", "values": {"t": 1}},
        {"device": "d1", "readings": []},
        [{"device": "d1", "ts": [], "values": {"t": []}}],
    ],
)
def test_the_schema_of_readings_refuses_what_the_gateway_refuses(body: object) -> None:
    schema = SPEC["paths"]["/v1/readings"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    with pytest.raises(jsonschema_rs.ValidationError):
        document().validate(schema, body)


async def test_the_document_is_served_with_an_etag() -> None:
    async with serving() as door:
        answer = await door.client.get("/openapi.json", headers={"Authorization": "", "Accept-Encoding": "identity"})
        assert (answer.status_code, answer.json()) == (200, SPEC)
        again = await door.client.get(
            "/openapi.json", headers={"If-None-Match": answer.headers["etag"], "Accept-Encoding": "identity"}
        )
        assert (again.status_code, again.content) == (304, b"")
        packed = await door.client.get("/openapi.json", headers={"Accept-Encoding": "gzip"})
        assert (packed.headers["content-encoding"], packed.json()) == ("gzip", SPEC)
        assert packed.headers["etag"] != answer.headers["etag"]
        head = await door.client.head("/openapi.json")
        assert (head.status_code, head.content) == (200, b"")


async def test_the_page_loads_nothing_from_elsewhere() -> None:
    async with serving() as door:
        page = await door.client.get("/docs")
        policy = dict(part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";"))
        assert (policy["default-src"], policy["script-src"], policy["style-src"]) == ("'none'", "'self'", "'self'")
        loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
        assert all(not link.startswith(("http", "//")) for link in loaded)
        files = [link for link in loaded if link.startswith("docs/")]
        assert len(files) == 4
        for file in files:
            asset = await door.client.get(f"/{file}", headers={"Accept-Encoding": "gzip"})
            assert (asset.status_code, asset.headers["content-encoding"]) == (200, "gzip")
            assert asset.headers["content-type"].startswith("text/css" if file.endswith("css") else "text/javascript")
            assert asset.content
        missing = await door.client.get("/docs/index.html")
        assert (missing.status_code, missing.json()["code"]) == (404, "not_found")


async def test_a_wrong_method_is_told_which_are_right() -> None:
    async with serving() as door:
        for path, methods in SPEC["paths"].items():
            parameters = next(iter(methods.values()))["parameters"]
            examples = {one["name"]: str(one["example"]) for one in parameters if one["in"] == "path"}
            answer = await door.client.request("TRACE", path.format(**examples))
            assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed"), path
            right = {*methods, "head"} if "get" in methods else {*methods}
            assert set(answer.headers["allow"].lower().split(", ")) == right, path
