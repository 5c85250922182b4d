"""A request with a small JSON body in, a typed struct out. Raises what says no to it; never looks into its meaning."""

from typing import TypeVar

import msgspec
from sanic import Request

from gateway.core.errors import UnsupportedMedia
from gateway.domain.json_text import decode
from gateway.web.context import Context
from gateway.web.http.path import bare_media, passes_for_json, shown
from gateway.web.http.responses import JSON

Asked = TypeVar("Asked")


async def read_body(request: Request, context: Context) -> bytes:
    """Return the whole body, under the caps. Raises TooLarge, BodyTimeout, Overloaded, UnsupportedMedia, BadPayload."""
    with context.bodies.hold() as hold:
        return await hold.read(request)


async def read_json(
    request: Request,
    context: Context,
    decoder: "msgspec.json.Decoder[Asked]",
    *,
    media: tuple[str, ...] = (JSON,),
) -> Asked:
    """Return the body as the decoder has it; no body is an empty object.

    Raises UnsupportedMedia, BadPayload if it is not JSON, BadRequest if it says what cannot be.
    """
    require_media(request, media)
    body = await read_body(request, context)
    require_media(request, media, body)
    return decode(decoder, body or b"{}")


def require_media(request: Request, known: tuple[str, ...], body: bytes | None = None) -> str:
    """Return the body's media type, the first known one if it says nothing about itself. Raises UnsupportedMedia.

    Where JSON is known, `passes_for_json` has a say; a body that has yet to arrive is None.
    """
    given = request.headers.getone("content-type", known[0])
    media = bare_media(given)
    if media not in known and not (JSON in known and passes_for_json(media, body)):
        accepted = ", ".join(known)
        raise UnsupportedMedia(
            f"media type {shown(given)} is not read here; send {accepted}", media=shown(given), accepted=accepted
        )
    return media
