"""Sanic's request, made to hold for any bytes a client may send as its address; and when it began."""

import time
from types import SimpleNamespace
from typing import Any

from sanic import Request, Sanic
from sanic.config import Config

UNREAD = "NONE"
"""The method of the request that Sanic makes up to answer one that it could not read."""


class AnyRequest(Request[Sanic[Config, SimpleNamespace], SimpleNamespace]):
    """A request that always has a path, so that a broken one is answered and not just hung up on."""

    def __init__(self, url_bytes: bytes, *args: Any, **kwargs: Any) -> None:
        # The made-up request carries the unreadable address along and would fail by it a second time.
        self.began: float | None = time.monotonic()
        """When its head had come; None if its time is told elsewhere."""
        super().__init__(b"*" if kwargs.get("method") == UNREAD else url_bytes, *args, **kwargs)

    @property
    def path(self) -> str:
        """The path; `/` for an absolute address without one (RFC 9112 3.2.2), where Sanic fails."""
        path = self._parsed_url.path
        return path.decode() if path else "/"
