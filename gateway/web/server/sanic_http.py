"""Sanic's HTTP/1 requests and answers, made to hold for what the field sends (RFC 9112).

Heads are read by `head` and bodies here, chunks by `chunks`: of Sanic's readers none is left. Empty lines before a
request are passed over, as is what nobody read of a body, HTTP/1.0 gets no chunks, and any bytes may be an address.
`tests/unit/web/server/test_sanic_http.py` names what Sanic must not move.
"""

import asyncio
import re
import time
from types import SimpleNamespace
from typing import Any

from sanic import Request, Sanic
from sanic.compat import Header
from sanic.config import Config
from sanic.exceptions import BadRequest, ExpectationFailed, PayloadTooLarge, RequestCancelled
from sanic.headers import format_http1_response
from sanic.http import Http as Stream
from sanic.http import Stage
from sanic.http.http1 import HTTP_CONTINUE

from gateway.web.limits.body_budget import CHUNKED
from gateway.web.limits.connection_budget import CHUNK_US, HEAD_BYTE_US, REQUEST_US
from gateway.web.limits.unread_answers import PIECE_BYTES
from gateway.web.server import head
from gateway.web.server.chunks import BadChunk, Chunks, ManyChunks
from gateway.web.server.head import BadHead, Head, HeadParser, LargeHead

MAX_EMPTY_BYTES = 256
"""Empty lines between two requests; more is nothing that a client sends by mistake."""
UNREAD = "NONE"
"""The method of the request that Sanic makes up to answer one that it could not read."""
_EMPTY = re.compile(rb"(?:\r?\n)*")


class SmallChunks(BadRequest):
    """A body in too many chunks for its size."""


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

    protocol: Any
    __slots__ = ("_chunks", "began", "heads", "idle_since")

    def __init__(self, protocol: Any) -> None:
        super().__init__(protocol)  # type: ignore[no-untyped-call]
        self.heads = HeadParser()
        self._chunks = Chunks()
        self.idle_since: float | None = None
        """When empty lines began to come, while nothing else has."""
        self.began: float | None = None
        """When the head began that is being read."""

    async def http1(self) -> None:
        """Serve requests until the connection ends; then let go of what knows it, which no collector need find."""
        try:
            await super().http1()  # type: ignore[no-untyped-call]
        finally:
            for each in (self.request, self.response):
                if each is not None:
                    each.stream = None
            self.response_func = None  # type: ignore[assignment]

    async def http1_request_header(self) -> None:
        """Read the head of a request. Raises BadRequest, PayloadTooLarge, ExpectationFailed."""
        try:
            await self.protocol.budget.pay(REQUEST_US, self.recv_buffer)
            await self._skip_empty_lines()
            self.began = time.monotonic()
            end = await self._receive_head()
            self.protocol.budget.spend(HEAD_BYTE_US * end)
        except asyncio.CancelledError:
            if self.protocol.conn_info.lost:  # there is nobody to answer, and Sanic would look for a request
                self.stage = Stage.IDLE
                raise BadRequest("Bad Request") from None
            raise
        if self.protocol.is_deaf:  # it was refused while it waited, and knows
            self.stage = Stage.IDLE
            raise BadRequest("Bad Request")
        try:
            read = self.heads.take(self.recv_buffer, end)
        except LargeHead:
            raise PayloadTooLarge("Request header exceeds the size limit") from None
        except BadHead:
            raise BadRequest("Bad Request") from None
        self._expect_body(read)
        request = to_request(read, self.protocol.app, self.protocol.transport)
        del self.recv_buffer[: len(read.raw)]
        self.began = None
        self.protocol.count_unread()
        self.request, request.stream = request, self
        self.protocol.state["requests_count"] += 1

    async def http1_response_header(self, data: bytes, end_stream: bool) -> None:  # noqa: FBT001 - Sanic's signature
        """Write the head of an answer, and what is known of its body."""
        self._leave_body()
        body: bytes | None = getattr(self.response, "body", None)
        whole = end_stream or body or "content-length" in self.response.headers
        try:
            if body and len(body) > PIECE_BYTES and not self.head_only:
                await self._send_large(body)
            elif self.request.version == "1.0" and not whole:
                await self._begin_until_close(data)
            else:
                await super().http1_response_header(data, end_stream)
        except RequestCancelled:
            self.response_func = None  # type: ignore[assignment]  # nobody is there: not for an error's answer, either
            raise

    async def _send_large(self, body: bytes) -> None:
        """Send an answer of known length in pieces, and no copy of it."""
        response = self.response
        response.headers["content-length"] = str(len(body))
        response.body = None
        with self.protocol.holding(0 if getattr(response, "is_shared", False) else len(body)):
            await super().http1_response_header(b"", False)
            await self.http1_response_normal(body, True)

    async def read(self) -> bytes | None:
        """Return some bytes of the body, None at its end. Raises BadRequest, PayloadTooLarge."""
        if self.expecting_continue:
            self.expecting_continue = False
            await self._send(HTTP_CONTINUE)
        if self.request_body == CHUNKED:
            part = await self._read_chunks()
        else:
            await self.protocol.budget.pay(CHUNK_US)
            part = await self._read_declared()
        self.protocol.count_unread()
        return part

    async def head_response_ignored(self, data: bytes, end_stream: bool) -> None:  # type: ignore[override]  # noqa: FBT001
        """Send nothing of the body of an answer to HEAD. Sanic awaits this, and has it as a plain function."""
        super().head_response_ignored(data, end_stream)

    async def _skip_empty_lines(self) -> None:
        """Forget what a println adds to a body (RFC 9112 2.2); while no more has come, the connection is idle."""
        skipped, buf = 0, self.recv_buffer
        self.idle_since = time.monotonic()
        while len(buf) - (end := _end_of_empty(buf)) <= 1 and buf[end:] in (b"", b"\r"):
            skipped += self._forget(end, skipped)
            self.stage = Stage.IDLE
            await self._receive_more()
            self.stage = Stage.REQUEST
        self._forget(end, skipped)
        self.idle_since = None

    def _forget(self, size: int, skipped: int) -> int:
        if skipped + size > MAX_EMPTY_BYTES:
            raise BadRequest("Bad Request")
        del self.recv_buffer[:size]
        return size

    async def _receive_head(self) -> int:
        """Return where the head's last empty line begins. Raises BadRequest, PayloadTooLarge."""
        buf = self.recv_buffer
        while (end := buf.find(head.END)) < 0 and len(buf) < self.HEADER_MAX_SIZE:
            if not head.may_begin(buf):
                raise BadRequest("Bad Request")
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
            self._chunks = Chunks()
        if read.version == "1.0":
            self.expecting_continue = False  # RFC 9110 10.1.1: its clients know of no 100
            if b"connection" not in fields or read.length == head.CHUNKED:  # RFC 9112 6.1: the end is in doubt
                self.keep_alive = False

    async def _read_declared(self) -> bytes | None:
        if (self.request_bytes or 0) > self.request_max_size:
            self.keep_alive = False
            raise PayloadTooLarge("Request body exceeds the size limit")
        if not self.request_bytes_left:
            self.request_body = None
            return None
        if not self.recv_buffer:
            await self._receive_more()
        part = bytes(self.recv_buffer[: self.request_bytes_left])
        del self.recv_buffer[: len(part)]
        self.request_bytes_left -= len(part)
        return part

    async def _read_chunks(self) -> bytes | None:
        """Return the data of the chunks that are here, at least some of it."""
        part = await self._take_chunks()
        while part == b"":
            await self._receive_more()
            part = await self._take_chunks()
        if part is None:
            self.request_body = None
        return part

    async def _take_chunks(self) -> bytes | None:
        before = self._chunks.count
        try:
            part = self._chunks.take(self.recv_buffer, self.request_max_size)
        except ManyChunks as exc:
            self.keep_alive = False
            raise SmallChunks(str(exc)) from None
        except BadChunk:
            self.keep_alive = False
            raise BadRequest("Bad chunked encoding") from None
        await self.protocol.budget.pay(CHUNK_US * (1 + self._chunks.count - before))
        if self._chunks.size > self.request_max_size:
            self.keep_alive = False
            raise PayloadTooLarge("Request body exceeds the size limit")
        return part

    def _leave_body(self) -> None:
        """Forget what was not read of a body, if it has come; else hear no more of it, and end with this answer."""
        if self.request.method != UNREAD and not self.request_body:
            return
        left = self.request_bytes_left or 0
        if self.request_body and self.request_body != CHUNKED and len(self.recv_buffer) >= left:
            del self.recv_buffer[:left]
        else:
            self.keep_alive = False
            self.expecting_continue = False  # 100 would invite the body that nobody wants
            self.protocol.hear_no_more()
        self.request_body = None

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


def _end_of_empty(buffer: bytearray) -> int:
    found = _EMPTY.match(buffer)
    return found.end() if found else 0
