"""The OpenAPI document and the page that shows it out, to everybody: they hold no data. Loads nothing from elsewhere.

The page is Swagger UI as the package `offapi` ships it. It is found and never imported: that would fill templates that
nobody needs.
"""

import asyncio
import gzip
from functools import cache
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from gateway.core.errors import NotFound
from gateway.web.context import Context
from gateway.web.http.call import Call
from gateway.web.http.path import shown
from gateway.web.http.responses import JSON, Answer
from gateway.web.pages.files import MEDIA, Asset
from gateway.web.pages.headers import content_policy, page_headers
from gateway.web.pages.send_file import send_asset

OURS = Path(__file__).resolve().parents[1] / "openapi" / "page"
SHIPPED = "offapi"
FILES = {
    "page.css": (None, "page.css"),
    "start.js": (None, "start.js"),
    "swagger-ui.css": (SHIPPED, "swagger_style.css"),
    "swagger-ui.js": (SHIPPED, "swagger_bundle.js"),
}
"""What /docs/… serves → (the package that ships it, its name there)."""
HEADERS = page_headers(content_policy(trusted_types=False))
"""Swagger UI makes HTML from the Markdown of descriptions, hence no trusted types."""


class AnyDocument(msgspec.Struct, kw_only=True):
    """An OpenAPI document."""

    openapi: Annotated[str, Meta(pattern="^3[.]1[.]")]
    info: dict[str, Any]
    paths: dict[str, Any]


def get_document(call: Call[None, None], parts: Context) -> Answer:
    """Answer with the OpenAPI document."""
    return send_asset(call, parts.document, {})


def get_docs(call: Call[None, None], _parts: Context) -> Answer:
    """Answer with the page."""
    return send_asset(call, load(None, "index.html"), HEADERS)


async def get_docs_asset(call: Call[None, None], _parts: Context) -> Answer:
    """Answer with a script or a style of the page."""
    file: str = call.path["file"]
    if file not in FILES:
        raise NotFound(f"there is no file {shown(file)}; the page is at /docs")
    asset = await asyncio.to_thread(load, *FILES[file])  # compressing 1.5 MB once would hold up everybody for 50 ms
    return send_asset(call, asset, HEADERS)


def to_asset(plain: bytes, media: str) -> Asset:
    """Return bytes with their packed form and their ETag."""
    return Asset(plain, gzip.compress(plain, mtime=0), media, blake2b(plain, digest_size=9).hexdigest())


@cache
def load(package: str | None, name: str) -> Asset:
    """Return a file of ours, or one that a package ships."""
    folder = OURS if package is None else _folder(package)
    path = folder / name
    return to_asset(path.read_bytes(), MEDIA[path.suffix])


def document_asset(document: bytes) -> Asset:
    """Return the document as /openapi.json serves it."""
    return to_asset(document, JSON)


def _folder(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise NotFound(f"the package {package} is not installed; the document itself is at /openapi.json")
    return Path(spec.origin).parent
