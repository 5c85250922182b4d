"""Sanic's HTTP/1 connection, made to hold for what the field sends (RFC 9112). All that knows its private parts.

Heads are read by `head`; empty lines before a request and trailer fields are read, a chunk must be one, HTTP/1.0 gets
no chunks, and any bytes may be an address. `tests/unit/web/server/test_sanic_http.py` names what Sanic must not move.
"""

import re
import time
from types import SimpleNamespace
from typing import Any

from sanic import Request, Sanic
from sanic.compat import Header
from sanic.config import Config
from sanic.exceptions import BadRequest, ExpectationFailed, PayloadTooLarge
from sanic.headers import format_http1_response
from sanic.http import Http as Stream
from sanic.http import Stage
from sanic.server.protocols.websocket_protocol import WebSocketProtocol

from gateway.web.limits.body_budget import CHUNKED
from gateway.web.server import head
from gateway.web.server.head import BadHead, Head, HeadParser

MAX_EMPTY_BYTES = 256
"""Empty lines between two requests; more is nothing that a client sends by mistake."""
MAX_TRAILER_BYTES = 4096
MAX_CHUNK_LINE = 64
"""Longest line of a chunk's size; Sanic says no to longer ones."""
UNREAD = "NONE"
"""The method of the request that Sanic makes up to answer one that it could not read."""
_CHUNK = re.compile(rb"\r\n([0-9A-Fa-f]+)[ \t]*(?:;[^\r\n\0]*)?")
_TRAILERS = re.compile(rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[^\r\n\0]*\r\n)*")


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


def to_request(read: Head, app: Sanic[Config, SimpleNamespace], transport: Any = None) -> AnyRequest:
    """Return Sanic's request of this head."""
    fields = [(name.decode("ascii"), value.decode(errors="surrogateescape")) for name, value in read.fields]
    method, start = read.method.decode("ascii"), read.raw[: -len(head.END)]
    return AnyRequest(read.target, Header(fields), read.version, method, transport, app, head=start)


class Http1(Stream):
    """One connection's requests and answers."""

    __slots__ = ("heads",)

    def __init__(self, protocol: Any) -> None:
        super().__init__(protocol)  # type: ignore[no-untyped-call]
        self.heads = HeadParser()

    async def http1_request_header(self) -> None:
        """Read the head of a request. Raises BadRequest, PayloadTooLarge, ExpectationFailed."""
        await self._skip_empty_lines()
        end = await self._receive_head()
        try:
            read = self.heads.take(self.recv_buffer, end)
        except BadHead:
            raise BadRequest("Bad Request") from None
        self._expect_body(read)
        request = to_request(read, self.protocol.app, self.protocol.transport)
        del self.recv_buffer[: len(read.raw) - (2 if self.request_body == CHUNKED else 0)]  # a chunk begins with CRLF
        self.request, request.stream = request, self
        self.protocol.state["requests_count"] += 1

    async def http1_response_header(self, data: bytes, end_stream: bool) -> None:  # noqa: FBT001 - Sanic's signature
        """Write the head of an answer, and what is known of its body."""
        whole = end_stream or getattr(self.response, "body", None) or "content-length" in self.response.headers
        if self.request.version == "1.0" and not whole:
            await self._begin_until_close(data)
        else:
            await super().http1_response_header(data, end_stream)

    async def read(self) -> bytes | None:
        """Return some bytes of the body, None at its end."""
        if self.request_body == CHUNKED and not self.request_bytes_left:
            await self._check_chunk()
        part: bytes | None = await super().read()
        return part

    async def head_response_ignored(self, data: bytes, end_stream: bool) -> None:  # type: ignore[override]  # noqa: FBT001
        """Send nothing of the body of an answer to HEAD. Sanic awaits this, and has it as a plain function."""
        super().head_response_ignored(data, end_stream)

    async def _skip_empty_lines(self) -> None:
        """Forget what a println adds to a body (RFC 9112 2.2); while no more has come, the connection is idle."""
        skipped = 0
        while not (rest := self.recv_buffer.lstrip(b"\r\n")):
            skipped += self._forget(len(self.recv_buffer), skipped)
            self.stage = Stage.IDLE
            await self._receive_more()
            self.stage = Stage.REQUEST
        self._forget(len(self.recv_buffer) - len(rest), skipped)

    def _forget(self, size: int, skipped: int) -> int:
        if skipped + size > MAX_EMPTY_BYTES:
            raise BadRequest("Bad Request")
        del self.recv_buffer[:size]
        return size

    async def _receive_head(self) -> int:
        """Return where the head's last empty line begins. Raises PayloadTooLarge."""
        buf = self.recv_buffer
        while (end := buf.find(head.END)) < 0 and len(buf) < self.HEADER_MAX_SIZE:
            await self._receive_more()
        if not 0 <= end < self.HEADER_MAX_SIZE:
            raise PayloadTooLarge("Request header exceeds the size limit")
        return int(end)

    def _expect_body(self, read: Head) -> None:
        """Begin what the head says of its connection and body. Raises ExpectationFailed."""
        fields = dict(read.fields)
        self.url = read.target.decode("ascii")
        self.head_only = read.method.upper() == b"HEAD"
        self.keep_alive = fields.get(b"connection", b"keep-alive").lower() == b"keep-alive"
        self.upgrade_websocket = fields.get(b"upgrade", b"").lower() == b"websocket"
        self.request_bytes_left = self.request_bytes = 0
        if read.length is not None:
            expected = fields.get(b"expect", b"100-continue").lower()
            if expected != b"100-continue":
                raise ExpectationFailed("Unknown Expect")
            self.expecting_continue = b"expect" in fields
            framed: Any = CHUNKED if read.length == head.CHUNKED else True
            self.request_body = framed
            self.request_bytes_left = self.request_bytes = max(0, read.length)
        if read.version == "1.0":
            self.expecting_continue = False  # RFC 9110 10.1.1: its clients know of no 100
            if b"connection" not in fields or read.length == head.CHUNKED:  # RFC 9112 6.1: the end is in doubt
                self.keep_alive = False

    async def _check_chunk(self) -> None:
        """Have the line of a chunk's size in the buffer, whole, and no trailer fields behind the last (RFC 9112 7.1).

        Raises BadRequest for what is no such line, and leaves out the fields, which nobody here asked for.
        """
        buf = self.recv_buffer
        while (end := buf.find(b"\r\n", 3)) < 0 and len(buf) <= MAX_CHUNK_LINE:
            await self._receive_more()
        size = _CHUNK.fullmatch(buf, 0, max(0, end))
        if size is None:
            self._refuse_chunk()
        elif not size[1].strip(b"0"):
            await self._drop_trailers(end)

    async def _drop_trailers(self, end: int) -> None:
        buf = self.recv_buffer
        while (last := buf.find(head.END, end)) < 0:
            if len(buf) - end > MAX_TRAILER_BYTES:
                break
            await self._receive_more()
        if last < 0 or last - end > MAX_TRAILER_BYTES or not _TRAILERS.fullmatch(buf, end + 2, last + 2):
            self._refuse_chunk()
        del buf[end + 2 : last + 2]

    def _refuse_chunk(self) -> None:
        self.keep_alive = False
        raise BadRequest("Bad chunked encoding")

    async def _begin_until_close(self, data: bytes) -> None:
        """Begin an answer that ends with the connection, as HTTP/1.0 has no chunks (RFC 9112 6.1, 6.3)."""
        self.keep_alive = False
        headers = self.response.headers
        headers["connection"] = "close"
        start = format_http1_response(self.response.status, self.response.processed_headers)
        send_rest: Any = self.head_response_ignored if self.head_only else self._until_close
        self.response_func = send_rest
        await self._send(start if self.head_only else start + data)
        self.stage = Stage.RESPONSE

    async def _until_close(self, data: bytes, end_stream: bool) -> None:  # noqa: FBT001 - Sanic's signature
        if data:
            await self._send(data)
        if end_stream:
            self.stage = Stage.IDLE  # the last part: nothing is sent after it


class Http1Connection(WebSocketProtocol):
    """Sanic's connection, with a name for each of its private parts that is used outside this file."""

    HTTP_CLASS = Http1

    __slots__ = ()

    def idle_heads(self) -> HeadParser | None:
        """Return what reads the next head, if that is waited for and an answer can be written at once; else None."""
        http = self.http
        if (
            http is not None
            and http.stage is Stage.IDLE
            and http.request is None
            and not self.recv_buffer
            and self.websocket is None
            and not self.access_log
            and self._can_write.is_set()
        ):
            heads: HeadParser = http.heads
            return heads
        return None

    def set_stage(self, stage: Stage) -> float:
        """Say what is being done, from now on: a server that stops waits for a connection that is not idle."""
        http = self.http
        if http is not None:
            http.stage = stage
        self._time = now = time.monotonic()
        return now

    def read_buffered(self) -> None:
        """Have Sanic go on with what is in its buffer."""
        self._data_received.set()
