"""The OpenAPI 3.1 document, as bytes: from the table of operations and what is told of each.

Schemas come from `msgspec.json.schema_components`. Roles stand in `security`, where 3.1 has a place for them: each
alternative is one role that may call.
"""

import re
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Annotated, Any, get_type_hints

import msgspec

from gateway.web.http.call import AnyOf, Body, Operation
from gateway.web.http.fields import DeviceName, Id, MetricName
from gateway.web.http.query import bare_type
from gateway.web.http.responses import JSON
from gateway.web.limits.body_budget import Incoming
from gateway.web.openapi import refusals as problems
from gateway.web.openapi.descriptions import DESCRIPTIONS
from gateway.web.openapi.words import Description, Header, Sent, refusals

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
PATH = {
    "device": Sent("device", "The device's name.", DeviceName, "d1"),
    "letter": Sent("letter", "The dead letter's id.", Id, 17),
    "key": Sent("key", "The key's id.", Id, 12),
    "metric": Sent("metric", "The metric's name; a `/` may be percent-encoded.", MetricName, "t"),
    "file": Sent("file", "The file's name.", str, "start.js"),
    "static": Sent("file", "The file's name.", str, "main.js"),
}
"""The parameters of paths, by their name, or by the operation's label."""
NOT_MODIFIED, UNCHANGED = 304, "Nothing changed since the ETag in `If-None-Match`."
IF_NONE_MATCH = Sent("If-None-Match", "The ETag of the answer before.")
SECURITY = {"bearer": {"type": "http", "scheme": "bearer", "description": "A device token or a key."}}
_PARAMETER = re.compile(r"\{(\w+)(?::\w+)?\}")


class DocumentWriter:
    """Writes operations down, and collects what several of them share."""

    def __init__(self) -> None:
        self._everywhere = problems.everywhere()
        self.responses: dict[str, Any] = problems.unrouted()
        self.schemas: dict[str, Any] = {}
        self.schema(problems.Problem)

    def schema(self, kind: object) -> dict[str, Any]:
        """Return the schema of a type; that of a Struct is a reference."""
        if isinstance(kind, AnyOf):
            one = {"anyOf": [self.schema(each) for each in kind.kinds]}
            return {"anyOf": [*one["anyOf"], {"type": "array", "items": one}]} if kind.many else one
        (schema,), components = msgspec.json.schema_components([kind], ref_template=REF)
        self.schemas |= components
        return schema

    def operation(self, one: Operation, description: Description, *, head: bool) -> dict[str, Any]:
        """Return one operation, or the HEAD of it, whose answers have the headers only."""
        path = [PATH.get(one.label) or PATH[name] for name in _PARAMETER.findall(one.path)]
        sent = (*description.sent, *([IF_NONE_MATCH] if NOT_MODIFIED in one.answers else []))
        written: dict[str, Any] = {
            "operationId": f"{one.label}_head" if head else one.label,
            "tags": [description.tag],
            "summary": description.summary,
            "description": _about(one, description),
            "security": [{"bearer": [role.value]} for role in one.access.roles],
            "parameters": [
                *[self._sent(each, "path") for each in path],
                *self._parameters(one.query),
                *[self._sent(each, "header") for each in sent],
            ],
            "responses": self._answers(one, description, head=head),
        }
        has_body = one.body is not None and one.body.media
        return written | ({"requestBody": self._body(one.body, description)} if one.body and has_body else {})

    def _parameters(self, query: type[msgspec.Struct] | None) -> list[dict[str, Any]]:
        """Return the parameters that a struct holds."""
        if query is None:
            return []
        hints = get_type_hints(query, include_extras=True)
        names = zip(query.__struct_encode_fields__, query.__struct_fields__, strict=True)
        return [self._parameter(name, hints[field]) for name, field in names]

    def _parameter(self, name: str, hint: Any) -> dict[str, Any]:
        kind, metas = bare_type(hint)
        schema = self.schema(Annotated[kind, *metas] if metas else kind)
        written = {
            "name": name,
            "in": "query",
            "required": any(meta.extra and meta.extra.get("required") for meta in metas),
            "description": schema.pop("description"),
            "schema": schema,
        }
        examples = schema.pop("examples", ())
        return written | ({"example": examples[0]} if examples else {})

    def _sent(self, one: Sent, place: str) -> dict[str, Any]:
        written: dict[str, Any] = {
            "name": one.name,
            "in": place,
            "required": place == "path",
            "description": one.about,
            "schema": self.schema(one.type),
        }
        return written | ({} if one.example is None else {"example": one.example})

    def _body(self, body: Body, description: Description) -> dict[str, Any]:
        kind = description.body or (str if body.type in (bytes, Incoming) else body.type)
        return ({"description": FORM_TOO} if JSON in body.media else {}) | {
            "required": body.required,
            "content": {
                media: {
                    "schema": self.schema(kind),
                    "examples": {
                        name: {"value": value}
                        for name, value in description.examples.items()
                        if kind is not str or name == media
                    },
                }
                for media in body.media
            },
        }

    def _answers(self, one: Operation, description: Description, *, head: bool) -> dict[str, Any]:
        answers = {status: self._answer(one, description, status, head=head) for status in one.answers}
        refused = problems.responses((*problems.of(one), *refusals(description.errors), *self._everywhere))
        for status, (name, response) in refused.items():
            if head:
                response = {key: value for key, value in response.items() if key != "content"}  # noqa: PLW2901
            if status in answers:  # such as 422: a receipt, or a problem
                answers[status] = _both(answers[status], response)
            else:
                answers[status] = self._shared(f"{name}.HEAD" if head else name, response)
        return {str(status): answer for status, answer in sorted(answers.items())}

    def _shared(self, name: str, response: dict[str, Any]) -> dict[str, Any]:
        self.responses[name] = response
        return {"$ref": f"#/components/responses/{name}"}

    def _answer(self, one: Operation, description: Description, status: int, *, head: bool) -> dict[str, Any]:
        common = COUNTED if one.access.roles else UNCOUNTED
        headers = {name: {"$ref": f"#/components/headers/{name}"} for name in common}
        own = {"ETag"} if status == NOT_MODIFIED else set(description.headers)
        headers |= {name: self.header(each) for name, each in description.headers.items() if name in own}
        written = {"description": description.answers.get(status, UNCHANGED), "headers": headers}
        kind = one.answers[status]
        if kind is not None and not head:
            content = kind if isinstance(kind, Mapping) else {JSON: kind}
            written["content"] = {media: {"schema": self.schema(each)} for media, each in content.items()}
        return written

    def header(self, header: Header) -> dict[str, Any]:
        """Return a header of an answer."""
        kind = "integer" if header.type is int else "string"
        return {"description": header.about, "required": header.required, "schema": {"type": kind}}


def to_document(operations: Iterable[Operation]) -> bytes:
    """Return the document of these operations, as JSON in UTF-8.

    One that nobody has described is left out, so that the gateway starts; a test says that there is none.
    """
    writer = DocumentWriter()
    paths: dict[str, dict[str, Any]] = {}
    tags: dict[str, None] = {}
    for one in operations:
        description = DESCRIPTIONS.get(one.label)
        if description is None:
            continue
        tags[description.tag] = None
        methods = paths.setdefault(to_template(one.path), {})
        methods[one.method.lower()] = writer.operation(one, description, head=False)
        if not one.access.roles:
            methods["head"] = writer.operation(one, description, head=True)
    return msgspec.json.encode(_document(paths, tags, writer))


def to_template(path: str) -> str:
    """`/v1/dead-letters/{letter:id}:replay` → `/v1/dead-letters/{letter}:replay`."""
    return _PARAMETER.sub(r"{\1}", path)


def _document(paths: Mapping[str, Any], tags: Iterable[str], writer: DocumentWriter) -> dict[str, Any]:
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "Device ingestion gateway",
            "version": version(DISTRIBUTION),
            "description": ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in tags],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(writer.schemas.items())),
            "responses": dict(sorted(writer.responses.items())),
            "headers": {name: writer.header(one) for name, one in HEADERS.items()},
            "securitySchemes": SECURITY,
        },
    }


def _about(one: Operation, description: Description) -> str:
    who = ", ".join([f"`{role.value}`" for role in one.access.roles])
    called = f"Who may: {who}." if who else "Everybody may call it, without a credential."
    return "\n\n".join([part for part in (description.about, called) if part])


def _both(answer: dict[str, Any], problem: dict[str, Any]) -> dict[str, Any]:
    return {
        "description": f"{answer['description']}\n\nOr: {problem['description']}",
        "headers": problem["headers"] | answer["headers"],
        "content": answer.get("content", {}) | problem.get("content", {}),
    }
