"""The fleet page and its files out, to everybody: they hold no data. What the page shows it asks for with a key."""

from sanic import HTTPResponse, Request

from gateway.core.errors import NotFound
from gateway.web.http.path import shown
from gateway.web.pages.files import assets
from gateway.web.pages.headers import PAGE
from gateway.web.pages.send_file import send_asset

INDEX = "index.html"


async def get_page(request: Request) -> HTTPResponse:
    """Answer with the page."""
    return send_asset(request, assets()[INDEX], PAGE)


async def get_asset(request: Request, file: str) -> HTTPResponse:
    """Answer with a script, a style or an image of the page."""
    asset = assets().get(file)
    if asset is None or file == INDEX:
        raise NotFound(f"there is no file {shown(file)}; the page is at /")
    return send_asset(request, asset, PAGE)
