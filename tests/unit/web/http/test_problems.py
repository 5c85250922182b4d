"""Every error class as a problem document (RFC 9457)."""

import math
from collections.abc import Iterator
from random import Random
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

import orjson
import pytest
from sanic import Request
from sanic.exceptions import (
    BadRequest,
    ExpectationFailed,
    NotFound,
    PayloadTooLarge,
    RequestTimeout,
    SanicException,
    ServerError,
    ServiceUnavailable,
    URITooLong,
)

from gateway.core import errors
from gateway.core.errors import UnknownDevice
from gateway.core.settings import HttpSettings
from gateway.web.http.problems import JITTER
from gateway.web.request_ids import RequestIds
from gateway.web.server.sanic import Failures

pytestmark = pytest.mark.usefixtures("made_up_labels")


class Answered(NamedTuple):
    status: int
    headers: dict[str, str]
    problem: dict[str, Any]


def answer(exc: BaseException, *, routed: bool = True, seed: int = 1) -> Answered:
    context = SimpleNamespace(http=HttpSettings(), draining=False, request_ids=RequestIds("test"), limits=None)
    route = SimpleNamespace(ctx=SimpleNamespace(label="readings")) if routed else None
    headers = SimpleNamespace(getone=lambda _name, default: default)
    app = SimpleNamespace(ctx=SimpleNamespace(gateway=context))
    request = cast(Request, SimpleNamespace(app=app, route=route, headers=headers, stream=None, ctx=SimpleNamespace()))
    response = Failures(Random(seed)).response(request, exc)
    assert response.body is not None
    return Answered(response.status, dict(response.headers), orjson.loads(response.body))


def every_error(root: type[errors.GatewayError] = errors.GatewayError) -> Iterator[type[errors.GatewayError]]:
    yield root
    for child in root.__subclasses__():
        yield from every_error(child)


@pytest.mark.parametrize("kind", sorted(set(every_error()), key=repr))
def test_every_error_class_has_a_problem(kind: type[errors.GatewayError]) -> None:
    got = answer(kind(limit="queue.max_rows", value=7))
    retry_after = got.problem.pop("retry_after", None)
    title, detail = got.problem.pop("title"), got.problem.pop("detail")
    assert title
    assert detail == str(kind())
    assert got.problem == {
        "type": f"urn:device-gateway:problem:{kind.code}",
        "status": kind.status,
        "code": kind.code,
        "request_id": "test-1",
        "limit": "queue.max_rows",
        "value": 7,
    }
    assert got.status == kind.status
    assert (retry_after is not None) == (kind().retry_after is not None) == ("retry-after" in got.headers)
    assert ("www-authenticate" in got.headers) == (kind.status == 401)
    assert ("accept-post" in got.headers) == (kind.status == 415)


def test_the_codes_of_different_errors_differ() -> None:
    kinds = set(every_error()) - {errors.GatewayError, errors.ClientError}
    assert len({kind.code for kind in kinds}) == len(kinds)


def test_details_never_replace_the_standard_members() -> None:
    got = answer(errors.BadPayload("seen", status=1, detail="x", code="y", type="z", request_id="other"))
    assert (got.problem["status"], got.problem["detail"], got.problem["code"]) == (400, "seen", "bad_payload")
    assert got.problem["request_id"] == "test-1"


def test_bytes_that_are_no_text_can_be_shown() -> None:
    got = answer(errors.UnsupportedMedia("media type \udc80", media="\udc80"))
    assert (got.status, got.problem["media"]) == (415, "?")


def test_retry_after_varies_by_thirty_per_cent_and_the_header_is_whole_seconds() -> None:
    waits = set()
    for seed in range(200):
        got = answer(errors.Overloaded(retry_after=10.0), seed=seed)
        wait = got.problem["retry_after"]
        assert 10 * (1 - JITTER) <= wait <= 10 * (1 + JITTER)
        assert int(got.headers["retry-after"]) == math.ceil(wait)
        waits.add(wait)
    assert max(waits) - min(waits) > 5


@pytest.mark.parametrize(
    ("exc", "status", "code"),
    [
        (BadRequest("x"), 400, "bad_request"),
        (NotFound("x"), 404, "not_found"),
        (UnknownDevice(), 404, "unknown_device"),
        (RequestTimeout("x"), 408, "request_timeout"),
        (PayloadTooLarge("x"), 413, "too_large"),
        (URITooLong("x"), 414, "uri_too_long"),
        (ExpectationFailed("x"), 417, "expectation_failed"),
        (ServiceUnavailable("x"), 503, "timeout"),
        (ServerError("secret"), 500, "internal"),
        (SanicException("secret", status_code=418), 500, "internal"),
        (RuntimeError("secret"), 500, "internal"),
    ],
)
def test_what_sanic_raises(exc: Exception, status: int, code: str) -> None:
    got = answer(exc)
    assert (got.status, got.problem["status"], got.problem["code"]) == (status, status, code)
    assert got.headers["x-request-id"] == got.problem["request_id"]
    assert "secret" not in str(got.problem)


def test_headers_that_are_too_large_are_not_called_a_body() -> None:
    assert answer(PayloadTooLarge("x"), routed=False).problem["code"] == "headers_too_large"
    body = answer(PayloadTooLarge("x")).problem
    assert (body["limit"], body["value"]) == ("http.max_body_bytes", HttpSettings().max_body_bytes)
