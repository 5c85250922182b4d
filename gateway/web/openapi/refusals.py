"""Groups of problems that operations share, and problems as OpenAPI responses. Knows codes and statuses, no route.

Responses with the same status and codes are one component, so that the document stays readable.
"""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from itertools import groupby
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from gateway.core import errors
from gateway.web.http.call import Operation
from gateway.web.http.problems import RETRYABLE, SANIC_CODES, UNAUTHORIZED, UNSUPPORTED, UPGRADE_REQUIRED
from gateway.web.http.responses import PROBLEM
from gateway.web.openapi.words import RefusalDoc, refusals

TOO_MANY = 429
UNROUTED = ("not_found", "method_not_allowed")
"""What only an address or a method that is not here is told; no operation answers so."""
GUARDED = refusals(
    (
        errors.Unauthorized,
        errors.Forbidden,
        errors.RateLimited,
        errors.Overloaded,
        errors.SinkUnavailable,
        errors.SinkFault,
        errors.BadRequest,
    )
)
"""What a call with a credential may be told before anything is looked at, and about its parameters."""
BODIES = refusals((errors.BadPayload, errors.BodyTimeout, errors.TooLarge, errors.UnsupportedMedia, errors.Overloaded))
"""What a call with a body may be told about it."""


class Problem(msgspec.Struct):
    """Why a request was refused as a whole (RFC 9457). Match on `code`; the sentences may change."""

    type: Annotated[str, Meta(description="A URN that ends with the code.", pattern="^urn:device-gateway:problem:")]
    title: Annotated[str, Meta(description="The status in words.")]
    status: Annotated[int, Meta(ge=400, le=599)]
    detail: Annotated[str, Meta(description="What is wrong: the value, the limit and the way out.")]
    code: Annotated[str, Meta(description="Stable; see the page on errors.")]
    request_id: Annotated[str, Meta(description="The X-Request-Id of this answer.")]
    retry_after: Annotated[
        float | msgspec.UnsetType, Meta(description="Seconds after which the same request may succeed.")
    ] = msgspec.UNSET
    parameter: Annotated[str | msgspec.UnsetType, Meta(description="The parameter that cannot be served.")] = (
        msgspec.UNSET
    )
    limit: Annotated[
        str | int | msgspec.UnsetType, Meta(description="The limit that was hit: the setting's name, or the number.")
    ] = msgspec.UNSET


def of(operation: Operation) -> tuple[RefusalDoc, ...]:
    """Return what follows from the table."""
    shared = refusals((errors.TooManyAtOnce,)) if operation.share else ()
    return (*(GUARDED if operation.access.roles else ()), *(BODIES if operation.body else ()), *shared)


def everywhere() -> tuple[RefusalDoc, ...]:
    """Return what any request may be told, whatever it asks for: by the server, before a handler sees it."""
    of_server = [
        RefusalDoc(status, code, HTTPStatus(status).description or HTTPStatus(status).phrase)
        for status, code in SANIC_CODES.items()
        if code not in UNROUTED
    ]
    return (
        *of_server,
        RefusalDoc(431, "headers_too_large", "The request's headers are too large."),
        *refusals((errors.GatewayError, errors.TooManyConnections, errors.TooManyFromAddress, errors.Overloaded)),
    )


def unrouted() -> dict[str, Any]:
    """Return the responses of addresses and methods that are not here, for the components of the document."""
    statuses = {code: status for status, code in SANIC_CODES.items()}
    return {code: _response([RefusalDoc(statuses[code], code, HTTPStatus(statuses[code]).phrase)]) for code in UNROUTED}


def responses(given: Iterable[RefusalDoc]) -> Mapping[int, tuple[str, dict[str, Any]]]:
    """Return status → (the name of the component, the response) for these refusals; each code counts once."""
    ordered = sorted({(one.status, one.code): one for one in given}.values(), key=lambda one: one[:2])
    by_status = {status: list(some) for status, some in groupby(ordered, key=lambda one: one.status)}
    return {status: (_name(status, some), _response(some)) for status, some in by_status.items()}


def _name(status: int, some: list[RefusalDoc]) -> str:
    return ".".join([str(status), *[one.code for one in some]])


def _response(some: list[RefusalDoc]) -> dict[str, Any]:
    status = some[0].status
    codes = "\n".join([f"- `{one.code}`: {one.about}" for one in some])
    named = {"properties": {"status": {"const": status}, "code": {"enum": [one.code for one in some]}}}
    return {
        "description": f"{HTTPStatus(status).phrase}\n{codes}",
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in _headers(status)},
        "content": {PROBLEM: {"schema": {"allOf": [{"$ref": "#/components/schemas/Problem"}, named]}}},
    }


def _headers(status: int) -> list[str]:
    names = ["X-Request-Id"]
    names += ["Retry-After"] if status in RETRYABLE else []
    names += ["RateLimit", "RateLimit-Policy"] if status == TOO_MANY else []
    names += ["WWW-Authenticate"] if status == UNAUTHORIZED else []
    names += ["Accept-Post", "Accept-Encoding"] if status == UNSUPPORTED else []
    names += ["Upgrade", "Sec-WebSocket-Version"] if status == UPGRADE_REQUIRED else []
    return names
