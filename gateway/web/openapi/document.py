"""Routes and operations in, the OpenAPI 3.1 document out, as bytes. Pure; made once, when the app is.

Schemas come from `msgspec.json.schema_components`. Roles stand in `security`, where 3.1 has a place for them: each
alternative is one role that may call.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from typing import Any, Protocol

import msgspec

from gateway.web.openapi import refusals
from gateway.web.openapi.operations import OPERATIONS
from gateway.web.openapi.refusals import Problem
from gateway.web.openapi.values import PATH
from gateway.web.openapi.words import JSON, AnyOf, Body, Header, Operation, Parameter, ResponseDoc, Type

DISTRIBUTION = "device-ingestion-gateway"
ABOUT = """Takes in device readings over HTTP and MQTT, and answers only when they are safe.

Errors are `application/problem+json` (RFC 9457) with a stable `code`. An address that is not here is 404 `not_found`,
another method 405 `method_not_allowed` with `Allow`. `HEAD` is answered wherever `GET` is. Every answer carries
`X-Request-Id`."""
FORM_TOO = """JSON. A body labelled `application/x-www-form-urlencoded`, as `curl -d` labels any, is read as JSON if
it begins with `{` or `[`."""
REF = "#/components/schemas/{name}"
HEADERS = {
    "X-Request-Id": Header("Yours, if it was 1 to 128 printable ASCII characters, else one of ours.", required=True),
    "Retry-After": Header("Seconds after which the same request may succeed.", int),
    "RateLimit": Header(
        "What is left of the limit that is nearest: its name, `r` units, and `t` seconds to all of it."
    ),
    "RateLimit-Policy": Header("The limits that counted the request: `q` units in `w` seconds. Absent if none is set."),
    "WWW-Authenticate": Header("The scheme of the credential that is missing.", required=True),
    "Accept-Post": Header("Media types that are read.", required=True),
    "Accept-Encoding": Header("Content encodings that are read.", required=True),
    "Upgrade": Header("What is spoken here: `websocket`.", required=True),
    "Sec-WebSocket-Version": Header("The version of it: `13`.", required=True),
}
UNCOUNTED = ("X-Request-Id",)
COUNTED = (*UNCOUNTED, "RateLimit", "RateLimit-Policy")
"""Headers of all answers: without a credential, and with one."""
SECURITY = {"bearer": {"type": "http", "scheme": "bearer", "description": "A device token or a key."}}
_PATTERN = re.compile(r"\{(\w+):\w+\}")
_NAMES = re.compile(r"\{(\w+)\}")


class Described(Protocol):
    """What of a route stands in the document."""

    @property
    def methods(self) -> tuple[str, ...]:
        """In capitals."""
        ...

    @property
    def path(self) -> str:
        """With `{name}` or `{name:pattern}`."""
        ...

    @property
    def label(self) -> str:
        """By which its operation is found."""
        ...


class Schemas:
    """JSON Schemas of all types that operations speak of."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        kinds = [Problem, *_flat(_kinds(operations))]
        schemas, self.components = msgspec.json.schema_components(kinds, ref_template=REF)
        self._found = {id(kind): schema for kind, schema in zip(kinds, schemas, strict=True)}

    def of(self, kind: Type) -> dict[str, Any]:
        """Return the schema of a type that an operation names; Structs are references."""
        if not isinstance(kind, AnyOf):
            return self._found[id(kind)]
        one = {"anyOf": [self.of(each) for each in kind.kinds]}
        return {"anyOf": [*one["anyOf"], {"type": "array", "items": one}]} if kind.many else one


class DocumentWriter:
    """Writes operations down, and collects the responses that several of them share."""

    def __init__(self, schemas: Schemas) -> None:
        self._schemas = schemas
        self._everywhere = refusals.everywhere()
        self.responses: dict[str, Any] = refusals.unrouted()

    def operation(self, operation: Operation, path: str, *, name: str, bodiless: bool) -> dict[str, Any]:
        """Return one operation; `bodiless` for HEAD, whose answers have the headers only."""
        own = {one.name: one for one in operation.parameters}
        parameters = {name: PATH[name] for name in _NAMES.findall(path)} | own
        written: dict[str, Any] = {
            "operationId": name,
            "tags": [operation.tag],
            "summary": operation.summary,
            "description": _about(operation),
            "security": [{"bearer": [role.value]} for role in operation.who],
            "parameters": [self._parameter(one) for one in parameters.values()],
            "responses": self._answers(operation, bodiless=bodiless),
        }
        return written | ({"requestBody": self._body(operation.body)} if operation.body else {})

    def _parameter(self, one: Parameter) -> dict[str, Any]:
        written: dict[str, Any] = {
            "name": one.name,
            "in": one.place,
            "required": one.required,
            "description": one.about,
            "schema": self._schemas.of(one.type),
        }
        return written | ({} if one.example is None else {"example": one.example})

    def _body(self, body: Body) -> dict[str, Any]:
        return ({"description": FORM_TOO} if JSON in body.content else {}) | {
            "required": body.required,
            "content": {
                media: {
                    "schema": self._schemas.of(kind),
                    "examples": {
                        name: {"value": value}
                        for name, value in body.examples.items()
                        if kind is not str or name == media
                    },
                }
                for media, kind in body.content.items()
            },
        }

    def _answers(self, operation: Operation, *, bodiless: bool) -> dict[str, Any]:
        common = COUNTED if operation.who else UNCOUNTED
        answers = {answer.status: self._answer(answer, common, bodiless=bodiless) for answer in operation.answers}
        refused = refusals.responses((*operation.refusals, *self._everywhere))
        for status, (name, response) in refused.items():
            if bodiless:
                response = {key: value for key, value in response.items() if key != "content"}  # noqa: PLW2901
            if status in answers:  # such as 422: a receipt, or a problem
                answers[status] = _both(answers[status], response)
            else:
                answers[status] = self._shared(f"{name}.HEAD" if bodiless else name, response)
        return {str(status): one for status, one in sorted(answers.items())}

    def _shared(self, name: str, response: dict[str, Any]) -> dict[str, Any]:
        self.responses[name] = response
        return {"$ref": f"#/components/responses/{name}"}

    def _answer(self, answer: ResponseDoc, common: Iterable[str], *, bodiless: bool) -> dict[str, Any]:
        headers = {name: {"$ref": f"#/components/headers/{name}"} for name in common}
        headers |= {name: self.header(one) for name, one in answer.headers.items()}
        written = {"description": answer.about, "headers": headers}
        if answer.content and not bodiless:
            written["content"] = {media: {"schema": self._schemas.of(kind)} for media, kind in answer.content.items()}
        return written

    def header(self, header: Header) -> dict[str, Any]:
        """Return a header of an answer."""
        kind = "integer" if header.type is int else "string"
        return {"description": header.about, "required": header.required, "schema": {"type": kind}}


def to_document(routes: Iterable[Described]) -> bytes:
    """Return the document of these routes, as JSON in UTF-8.

    A route that nobody has described is left out, so that the gateway starts; a test says that there is none.
    """
    routes = [route for route in routes if route.label in OPERATIONS]
    described = [OPERATIONS[route.label] for route in routes]
    schemas = Schemas(described)
    writer = DocumentWriter(schemas)
    paths: dict[str, dict[str, Any]] = {}
    for route, operation in zip(routes, described, strict=True):
        path = to_template(route.path)
        for method in route.methods:
            name = route.label if method == route.methods[0] else f"{route.label}_{method.lower()}"
            one = writer.operation(operation, path, name=name, bodiless=method == "HEAD")
            paths.setdefault(path, {})[method.lower()] = one
    return msgspec.json.encode(_document(paths, described, writer, schemas))


def to_template(path: str) -> str:
    """`/v1/dead-letters/{letter:id}:replay` → `/v1/dead-letters/{letter}:replay`."""
    return _PATTERN.sub(r"{\1}", path)


def _document(
    paths: Mapping[str, Any], described: list[Operation], writer: DocumentWriter, schemas: Schemas
) -> dict[str, Any]:
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "Device ingestion gateway",
            "version": version(DISTRIBUTION),
            "description": ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(one.tag for one in described)],
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "responses": dict(sorted(writer.responses.items())),
            "headers": {name: writer.header(one) for name, one in HEADERS.items()},
            "securitySchemes": SECURITY,
        },
    }


def _about(operation: Operation) -> str:
    who = ", ".join([f"`{role.value}`" for role in operation.who])
    called = f"Who may: {who}." if who else "Everybody may call it, without a credential."
    return "\n\n".join([part for part in (operation.about, called) if part])


def _both(answer: dict[str, Any], problem: dict[str, Any]) -> dict[str, Any]:
    return {
        "description": f"{answer['description']}\n\nOr: {problem['description']}",
        "headers": problem["headers"] | answer["headers"],
        "content": answer.get("content", {}) | problem.get("content", {}),
    }


def _kinds(operations: Iterable[Operation]) -> Iterator[Type]:
    for operation in operations:
        yield from [one.type for one in (*operation.parameters, *PATH.values())]
        yield from operation.body.content.values() if operation.body else ()
        for answer in operation.answers:
            yield from answer.content.values()


def _flat(kinds: Iterable[Type]) -> Iterator[Type]:
    for kind in kinds:
        if isinstance(kind, AnyOf):
            yield from kind.kinds
        else:
            yield kind
