"""Paths, query strings and media types in, checked values out. Knows no route; raises BadRequest, UnsupportedMedia."""

from collections.abc import Mapping
from urllib.parse import unquote

from sanic import Request

from gateway.core.errors import BadRequest, UnsupportedMedia
from gateway.domain.layouts import DEVICE_NAME
from gateway.domain.model import MAX_NAME
from gateway.web.http.responses import JSON

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


def require_json(request: Request) -> None:
    """Raise UnsupportedMedia unless the body is application/json, or says nothing about itself."""
    media = request.headers.getone("content-type", JSON)
    if media != JSON and media.partition(";")[0].strip().lower() != JSON:
        raise UnsupportedMedia(f"media type {shown(media)} is not read here; send {JSON}", media=shown(media))


def refuse_unknown(given: Mapping[str, str], *, known: str) -> None:
    """Raise BadRequest for query parameters that nothing has asked for."""
    for name in given:
        raise BadRequest(f"there is no parameter {shown(name)}; known here: {known}", parameter=shown(name))


def shown(text: str) -> str:
    """Quote a caller's text for a message, shortened, with what cannot be printed escaped."""
    return ascii(text if len(text) <= SHOWN else text[:SHOWN] + "…")
