"""The fleet page and its files out, to everybody: they hold no data. What the page shows it asks for with a key."""

from gateway.core.errors import NotFound
from gateway.web.context import Context
from gateway.web.http.call import Call
from gateway.web.http.path import shown
from gateway.web.http.responses import Answer
from gateway.web.pages.files import assets
from gateway.web.pages.headers import PAGE
from gateway.web.pages.send_file import send_asset

INDEX = "index.html"


def get_page(call: Call[None, None], _parts: Context) -> Answer:
    """Answer with the page."""
    return send_asset(call, assets()[INDEX], PAGE)


def get_asset(call: Call[None, None], _parts: Context) -> Answer:
    """Answer with a script, a style or an image of the page."""
    file: str = call.path["file"]
    asset = assets().get(file)
    if asset is None or file == INDEX:
        raise NotFound(f"there is no file {shown(file)}; the page is at /")
    return send_asset(call, asset, PAGE)
