"""Answers in, a failure for whatever /openapi.json does not say: status, media type, headers, schema. No network."""

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple
from urllib.parse import unquote

import httpx
import jsonschema_rs
from sanic import Sanic

from gateway.core.settings import Settings
from gateway.web.app import create_app

UNROUTED = {404: "not_found", 405: "method_not_allowed"}


class Answered(NamedTuple):
    """An answer as it came."""

    method: str
    path: str
    status: int
    headers: Mapping[str, str]
    body: bytes | None
    """None if it is a stream."""


class Document:
    """The OpenAPI document as a judge."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self._templates = [
            (self._regex(path), path) for path in sorted(document["paths"], key=lambda p: (p.count("{"), -len(p)))
        ]
        self._validators: dict[str, Any] = {}

    def path_of(self, path: str) -> str | None:
        """The template that an address fits; one without parameters comes first."""
        return next((template for regex, template in self._templates if regex.fullmatch(path)), None)

    def check(self, answer: Answered) -> None:
        """Fail if an answer is not what the document promises."""
        template = self.path_of(answer.path)
        operation = self.document["paths"].get(template, {}).get(answer.method.lower())
        if operation is None:
            self._check_unrouted(answer)
            return
        said = operation["responses"].get(str(answer.status))
        what = f"{answer.method} {answer.path} → {answer.status} {answer.body!r:.500}"
        assert said is not None, f"the document has no such status: {what}"
        self._check_response(self.resolve(said), answer, what)

    def resolve(self, one: dict[str, Any]) -> dict[str, Any]:
        """Follow a reference."""
        while "$ref" in one:
            kind, name = one["$ref"].removeprefix("#/components/").split("/")
            one = self.document["components"][kind][name]
        return one

    def validate(self, schema: dict[str, Any], value: object) -> None:
        """Raise ValidationError for a value that a schema of the document does not allow."""
        key = json.dumps(schema, sort_keys=True)
        if key not in self._validators:
            whole = {**schema, "components": self.document["components"]}
            self._validators[key] = jsonschema_rs.Draft202012Validator(whole, validate_formats=True)
        self._validators[key].validate(value)

    def _check_unrouted(self, answer: Answered) -> None:
        # what the server refuses before it looks for a route has a code and any path
        code = json.loads(answer.body or b"{}").get("code")
        everywhere = self.document["paths"]["/livez"]["get"]["responses"]
        name = UNROUTED.get(answer.status)
        said = self.document["components"]["responses"].get(name) or everywhere.get(str(answer.status))
        assert said is not None, f"{answer.method} {answer.path} is no route, and got {answer.status} {code}"
        self._check_response(self.resolve(said), answer, f"{answer.method} {answer.path}")

    def _check_response(self, said: dict[str, Any], answer: Answered, what: str) -> None:
        for name, header in said.get("headers", {}).items():
            assert name.lower() in answer.headers or not self.resolve(header)["required"], f"no {name}: {what}"
        if answer.method == "HEAD" or not said.get("content"):
            assert not answer.body, what
            return
        media = answer.headers["content-type"].partition(";")[0]
        assert media in said["content"], f"the document has no {media}: {what}"
        if media.endswith("json") and media != "application/x-ndjson" and answer.body is not None:
            try:
                self.validate(said["content"][media]["schema"], json.loads(answer.body))
            except jsonschema_rs.ValidationError as error:
                raise AssertionError(f"{what}\n{error}") from error

    def _regex(self, path: str) -> re.Pattern[str]:
        parts = re.split(r"\{\w+\}", path)
        return re.compile(".+".join(map(re.escape, parts)) if path.startswith("/v1/metrics/") else _segments(parts))


@cache
def document() -> Document:
    """The document of this program."""

    def never(*_: object) -> None:
        raise AssertionError("no part is opened here")

    app = create_app(Settings(), never)  # type: ignore[arg-type]
    Sanic.unregister_app(app)
    return Document(json.loads(app.ctx.openapi.plain))


async def conform(response: httpx.Response) -> None:
    """Check an answer, as an event hook of an httpx client; streams are left to their reader."""
    media = response.headers.get("content-type", "").partition(";")[0]
    streamed = media in {"text/event-stream", "application/x-ndjson", "text/csv"}
    body = None if streamed else await response.aread()
    document().check(Answered(response.request.method, path_of(response), response.status_code, response.headers, body))


def path_of(response: httpx.Response) -> str:
    """The path that was asked for, decoded but for slashes inside a segment."""
    path = response.request.url.raw_path.decode().partition("?")[0]
    return unquote(re.sub("%2F", "%252F", path, flags=re.IGNORECASE))


def _segments(parts: list[str]) -> str:
    return "[^/]+".join(map(re.escape, parts))
