"""A file of a page, gzipped where that is understood, or 304 where the browser has it."""

from collections.abc import Mapping
from typing import Any

from gateway.web.http.call import Call
from gateway.web.http.etag import matches
from gateway.web.http.responses import NOT_MODIFIED, Answer
from gateway.web.pages.files import Asset

CACHING = {"cache-control": "no-cache", "vary": "accept-encoding"}
"""Kept by browsers and asked for again each time: after an upgrade no old script meets a new one."""


def send_asset(call: Call[Any, Any], asset: Asset, headers: Mapping[str, str]) -> Answer:
    """Answer with the file and these headers, or say that the browser's copy is the same."""
    packed = "gzip" in (call.header("accept-encoding") or "")
    etag = asset.tag(packed=packed)
    sent = {**headers, **CACHING, "etag": etag}
    if matches(call.headers.getall("if-none-match", []), etag):
        return Answer(status=NOT_MODIFIED, headers=sent)
    if packed:
        sent["content-encoding"] = "gzip"
    return Answer(asset.packed if packed else asset.plain, headers=sent, media=asset.media, is_shared=True)
