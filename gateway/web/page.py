"""The fleet page and its files out, to everybody: they hold no data. What the page shows it asks for with a key."""

from sanic import HTTPResponse, Request

from gateway.errors import NotFound
from gateway.web.assets import Asset, assets
from gateway.web.context import context_of
from gateway.web.latest import matches
from gateway.web.parameters import shown
from gateway.web.replies import reply
from gateway.web.security import PAGE

INDEX = "index.html"
CACHING = {"cache-control": "no-cache", "vary": "accept-encoding"}
"""Kept by browsers and asked for again each time: after an upgrade no old script meets a new one."""
NOT_MODIFIED = 304


async def get_page(request: Request) -> HTTPResponse:
    """Answer with the page."""
    return _answer(request, assets()[INDEX])


async def get_asset(request: Request, file: str) -> HTTPResponse:
    """Answer with a script, a style or an image of the page."""
    asset = assets().get(file)
    if asset is None or file == INDEX:
        raise NotFound(f"there is no file {shown(file)}; the page is at /")
    return _answer(request, asset)


def _answer(request: Request, asset: Asset) -> HTTPResponse:
    packed = "gzip" in request.headers.get("accept-encoding", "")
    etag = asset.tag(packed=packed)
    headers = {**PAGE, **CACHING, "etag": etag}
    if matches(request.headers.getall("if-none-match", ()), etag):
        return reply(request, context_of(request), b"", status=NOT_MODIFIED, headers=headers)
    if packed:
        headers["content-encoding"] = "gzip"
    body = asset.packed if packed else asset.plain
    return reply(request, context_of(request), body, content_type=asset.media, headers=headers)
