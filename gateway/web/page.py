"""The fleet page and its files out, to everybody: they hold no data. What the page shows it asks for with a key."""

from sanic import HTTPResponse, Request

from gateway.errors import NotFound
from gateway.web.asset_replies import send_asset
from gateway.web.assets import assets
from gateway.web.parameters import shown
from gateway.web.security import PAGE

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
