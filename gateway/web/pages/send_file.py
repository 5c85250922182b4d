"""In: a file of a page, and what the browser has of it. Out: the file, gzipped where that is understood, or 304."""

from collections.abc import Mapping

from sanic import HTTPResponse, Request

from gateway.web.context import context_of
from gateway.web.handlers.newest import matches
from gateway.web.http.responses import reply
from gateway.web.pages.files import Asset

CACHING = {"cache-control": "no-cache", "vary": "accept-encoding"}
"""Kept by browsers and asked for again each time: after an upgrade no old script meets a new one."""
NOT_MODIFIED = 304


def send_asset(request: Request, asset: Asset, headers: Mapping[str, str]) -> HTTPResponse:
    """Answer with the file and these headers, or say that the browser's copy is the same."""
    packed = "gzip" in request.headers.get("accept-encoding", "")
    etag = asset.tag(packed=packed)
    sent = {**headers, **CACHING, "etag": etag}
    if matches(request.headers.getall("if-none-match", ()), etag):
        return reply(request, context_of(request), b"", status=NOT_MODIFIED, headers=sent)
    if packed:
        sent["content-encoding"] = "gzip"
    body = asset.packed if packed else asset.plain
    return reply(request, context_of(request), body, content_type=asset.media, headers=sent)
