"""Sanic's reading and writing of HTTP/1, made to hold for what the field sends (RFC 9112). The one place that bends it.

Empty lines before a request, `Transfer-Encoding` in any case, blanks behind a field and trailer fields are read;
HTTP/1.0 gets no chunks.
"""

import re
from typing import Any

from sanic.exceptions import BadRequest
from sanic.headers import format_http1_response
from sanic.http import Http as Stream
from sanic.http import Stage

from gateway.web.limits.body_budget import CHUNKED

MAX_EMPTY_BYTES = 256
"""Empty lines between two requests; more is nothing that a client sends by mistake."""
MAX_TRAILER_BYTES = 4096
MAX_CHUNK_LINE = 64
"""Longest line of a chunk's size; Sanic says no to longer ones."""
_END = b"\r\n\r\n"
_CODING = re.compile(rb"\r\ntransfer-encoding:([ \t]*[!-~]+[ \t]*)\r\n", re.IGNORECASE)
_BEHIND = (b" \r\n", b"\t\r\n")
_BLANKS = re.compile(rb"[ \t]+(?=\r\n|\Z)")
_TRAILERS = re.compile(rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[^\r\n\0]*\r\n)*")


class Http1(Stream):
    """One connection's requests and answers."""

    __slots__ = ()

    async def http1_request_header(self) -> None:
        """Read the head of a request. Raises what Sanic raises."""
        await self._skip_empty_lines()
        await self._receive_head()
        self._lower_coding()
        self._trim_fields()
        await super().http1_request_header()  # type: ignore[no-untyped-call]
        if self.request.version == "1.0":
            self.expecting_continue = False  # RFC 9110 10.1.1: its clients know of no 100
            if self.request_body == CHUNKED:  # RFC 9112 6.1: such a message's end is in doubt
                self.keep_alive = False

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
            await self._drop_trailers()
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

    async def _receive_head(self) -> None:
        while self.recv_buffer.find(_END) < 0 and len(self.recv_buffer) < self.HEADER_MAX_SIZE:
            await self._receive_more()

    def _lower_coding(self) -> None:
        """Write the name of a transfer coding as Sanic looks for it: its case means nothing (RFC 9112 7)."""
        buf = self.recv_buffer
        if found := _CODING.search(buf, 0, buf.find(_END) + 2):
            buf[found.start(1) : found.end(1)] = found[1].strip().lower().rjust(len(found[1]))

    def _trim_fields(self) -> None:
        """Take the white space from behind fields: it is no part of them (RFC 9110 5.5), and Sanic leaves it there."""
        buf = self.recv_buffer
        start, end = buf.find(b"\r\n"), buf.find(_END)
        if 0 <= start < end and any(buf.find(blank, start, end + 2) >= 0 for blank in _BEHIND):
            buf[start:end] = _BLANKS.sub(b"", buf[start:end])

    async def _drop_trailers(self) -> None:
        """Leave out the fields after the last chunk (RFC 9112 7.1.2), which nobody here asked for."""
        buf = self.recv_buffer
        while (end := buf.find(b"\r\n", 3)) < 0:
            if len(buf) > MAX_CHUNK_LINE:
                return
            await self._receive_more()
        if buf[2:end].split(b";", 1)[0].strip(b"0"):
            return
        while (last := buf.find(_END, end)) < 0:
            if len(buf) - end > MAX_TRAILER_BYTES:
                break
            await self._receive_more()
        if last < 0 or last - end > MAX_TRAILER_BYTES or not _TRAILERS.fullmatch(buf, end + 2, last + 2):
            self.keep_alive = False
            raise BadRequest("Bad chunked encoding")
        del buf[end + 2 : last + 2]

    async def _begin_until_close(self, data: bytes) -> None:
        """Begin an answer that ends with the connection, as HTTP/1.0 has no chunks (RFC 9112 6.1, 6.3)."""
        self.keep_alive = False
        headers = self.response.headers
        headers["connection"] = "close"
        head = format_http1_response(self.response.status, self.response.processed_headers)
        send_rest: Any = self.head_response_ignored if self.head_only else self._until_close
        self.response_func = send_rest
        await self._send(head if self.head_only else head + data)
        self.stage = Stage.RESPONSE

    async def _until_close(self, data: bytes, end_stream: bool) -> None:  # noqa: FBT001 - Sanic's signature
        if data:
            await self._send(data)
        if end_stream:
            self.stage = Stage.IDLE  # the last part: nothing is sent after it
