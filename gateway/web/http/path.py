"""Paths, query strings and media types in, checked values out. Knows no route; raises BadRequest, UnsupportedMedia."""

from collections.abc import Mapping
from urllib.parse import unquote

from sanic import Request

from gateway.core.errors import BadRequest, UnsupportedMedia
from gateway.domain.json_text import begins
from gateway.domain.layouts import DEVICE_NAME
from gateway.domain.model import MAX_NAME
from gateway.web.http.responses import JSON

FORM = "application/x-www-form-urlencoded"
SHOWN = 60
"""Characters of a caller's own text that are repeated back."""


def device_name(segment: str) -> str:
    """Return the device that a path segment names. Raises BadRequest."""
    name = decoded(segment)
    if DEVICE_NAME.fullmatch(name) is None:
        raise BadRequest(
            f"device name {shown(name)} is not allowed; use 1 to {MAX_NAME} characters of A-Z a-z 0-9 . _ : -",
            parameter="device",
        )
    return name


def decoded(segment: str) -> str:
    """Decode a percent-encoded name, twice: of '.' and '..', which clients take out of a path, `%252E` is left.

    No name holds a percent sign, so this changes none.
    """
    return unquote(unquote(segment)) if "%" in segment else segment


def require_json(request: Request, body: bytes | None = None) -> None:
    """Raise UnsupportedMedia unless the body is JSON: so labelled, or not at all, or as `passes_for_json` has it."""
    media = request.headers.getone("content-type", JSON)
    if media != JSON and (bare := bare_media(media)) != JSON and not passes_for_json(bare, body):
        raise UnsupportedMedia(f"media type {shown(media)} is not read here; send {JSON}", media=shown(media))


def bare_media(given: str) -> str:
    """Return a media type in lower case, without its parameters."""
    return given.partition(";")[0].strip().lower()


def passes_for_json(media: str, body: bytes | None) -> bool:
    """Whether a body is JSON though it is labelled as a form, as `curl -d` labels any; one that has yet to come may be.

    No form of a browser can send our credentials: they are a header.
    """
    return media == FORM and (body is None or begins(body))


def refuse_unknown(given: Mapping[str, str], *, known: str) -> None:
    """Raise BadRequest for query parameters that nothing has asked for."""
    for name in given:
        raise BadRequest(f"there is no parameter {shown(name)}; known here: {known}", parameter=shown(name))


def shown(text: str) -> str:
    """Quote a caller's text for a message, shortened, with what cannot be printed escaped."""
    return ascii(text if len(text) <= SHOWN else text[:SHOWN] + "…")
