"""The body of a request: its media type checked, its bytes read under the caps, its JSON a typed struct."""

from functools import cache
from typing import Any

import msgspec

from gateway.core.errors import TooLarge, UnsupportedMedia
from gateway.domain.json_text import begins, decode
from gateway.web.http.call import Body, Call, Headers
from gateway.web.http.path import shown
from gateway.web.http.responses import JSON
from gateway.web.limits.body_budget import Bodies, Incoming

MAX_UNASKED_BYTES = 16 * 1024
"""Of a body where none is expected."""
MAX_JSON_BYTES = 256 * 1024
"""Of a body that is a question or a command, no readings or rows: it is read at once. A thousand names fit twice."""
FORM = "application/x-www-form-urlencoded"


def refuse_body(incoming: Incoming) -> None:
    """Let pass what a client may send for no reason (RFC 9110 9.3.1); nobody reads it. Raises TooLarge for more."""
    declared = incoming.declared or 0
    if declared > MAX_UNASKED_BYTES:
        raise TooLarge(
            f"nothing is read from a body here, and up to {MAX_UNASKED_BYTES} bytes are passed over, not {declared};"
            " leave the body out",
            limit="unasked_body",
            value=MAX_UNASKED_BYTES,
        )


async def read_content(call: Call[Any, Any], body: Body, bodies: Bodies) -> object:
    """Return what the body holds; no body is an empty object.

    Raises TooLarge, BodyTimeout, Overloaded, UnsupportedMedia, BadPayload if it is not JSON, and BadRequest if it says
    what cannot be.
    """
    if body.type is Incoming:
        return call.incoming
    with bodies.hold(call.authorization) as hold:
        read = await hold.read(call.incoming, call.header("content-encoding"))
    if body.media:
        media_of(call.headers, body.media, read)
    return read if body.type is bytes else decode(_decoder(body.type), short(read) or b"{}")


def short(read: bytes) -> bytes:
    """Return a body that is read at once. Raises TooLarge."""
    if len(read) > MAX_JSON_BYTES:
        raise TooLarge(
            f"the body is larger than {MAX_JSON_BYTES} bytes, the most that is read here; ask for less at once",
            limit="body_bytes",
            value=MAX_JSON_BYTES,
        )
    return read


def media_of(headers: Headers, known: tuple[str, ...], body: bytes | None = None) -> str:
    """Return the body's media type, the first known one if it says nothing about itself. Raises UnsupportedMedia.

    A body is JSON also where it is labelled as a form, as `curl -d` labels any, and begins as JSON does; one that has
    yet to come (None) may be. No form of a browser can send our credentials: they are a header.
    """
    given = str(headers.getone("content-type", known[0]))
    media = given if given in known else given.partition(";")[0].strip().lower()
    if media == FORM and JSON in known and (body is None or begins(body)):
        return JSON
    if media not in known:
        accepted = ", ".join(known)
        raise UnsupportedMedia(
            f"media type {shown(given)} is not read here; send {accepted}", media=shown(given), accepted=accepted
        )
    return media


@cache
def _decoder(kind: type) -> "msgspec.json.Decoder[Any]":
    return msgspec.json.Decoder(kind)
