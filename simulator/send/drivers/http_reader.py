"""The reader of HTTP/1.1 responses (RFC 9112): bytes in, in any pieces; a response out. Pure: no socket, no clock.

llhttp parses, by way of httptools; what a client must refuse beside that is refused here. One response at a time, as a
client that does not pipeline gets them. Raises ProtocolError only.
"""

from dataclasses import dataclass

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from simulator.core.errors import ProtocolError

_MAX_HEAD = 64 * 1024
_MAX_BODY = 256 * 1024 * 1024
_FIRST_FINAL = 200
_NO_BODY = frozenset({204, 304})
_CODING, _LENGTH = b"transfer-encoding", b"content-length"
_VERSIONS = frozenset({"1.0", "1.1"})


@dataclass(frozen=True, slots=True)
class Response:
    """A whole response; of repeated headers the last one is kept."""

    status: int
    raw_headers: dict[bytes, bytes]
    """As they came, but for their names in lower case: to read them all costs more than most answers are worth."""
    body: bytes
    keep_alive: bool

    @property
    def headers(self) -> dict[str, str]:
        """The headers as text, their names in lower case."""
        return {name.decode("latin-1"): value.decode("latin-1").strip() for name, value in self.raw_headers.items()}


class ResponseReader:
    """Holds what has come in of one response. After a response it is ready for the next."""

    def __init__(self) -> None:
        self._parser = HttpResponseParser(self)
        self._begin()

    def _begin(self) -> None:
        self.is_idle = True
        """Whether no part of a response has come in."""
        self.has_head = False
        """Whether the head of a final response is in, and its body is not yet at its end."""
        self.status = 0
        """The status of the response that is coming in; 0 before its head is in."""
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self._size = 0
        self._keep_alive = self._is_whole = self._ends_with_connection = False
        self._wrong = ""

    def take(self) -> bytes:
        """Return what has come of a body that is not at its end, and keep it no longer: for one that never ends."""
        taken = b"".join(self._body)
        self._body.clear()
        self._size = 0
        return taken

    def feed(self, data: bytes) -> Response | None:
        """Take in bytes; return the response once it is complete. Bytes beyond it are an error."""
        self.is_idle = self.is_idle and not data
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:
            raise ProtocolError("the connection is another protocol's from here") from None
        except HttpParserError as error:
            raise ProtocolError(self._wrong or str(error)) from None
        if not self.has_head:
            self._size += len(data)
            self._require(self._size <= _MAX_HEAD or self._is_whole, "the head of the response does not end")
        if self._wrong:
            raise ProtocolError(self._wrong)
        return self._finish() if self._is_whole else None

    def end(self) -> Response | None:
        """Take in the end of the stream: it completes a body without a length, and cuts short any other."""
        return self._finish() if self.has_head and self._ends_with_connection else None

    def _finish(self) -> Response:
        response = Response(self.status, self._headers, b"".join(self._body), self._keep_alive)
        self._begin()
        return response

    def _require(self, condition: bool, otherwise: str) -> None:  # noqa: FBT001 - reads as a sentence at the call
        if not condition:
            self._wrong = self._wrong or otherwise

    def on_message_begin(self) -> None:
        """Be told by the parser of a response; so with the next ones."""
        self._require(not self._is_whole, "bytes after the end of the response")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take in a header, but no trailer."""
        if not self.has_head:
            self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        """Choose the body (RFC 9112 part 6.3)."""
        status, headers = self._parser.get_status_code(), self._headers
        self._require(self._parser.get_http_version() in _VERSIONS, "not an HTTP/1 response")
        if status < _FIRST_FINAL:
            headers.clear()
            return
        self.status, self.has_head, self._size = status, True, 0
        self._require(headers.get(_CODING, b"chunked").strip().lower() == b"chunked", "a coding other than chunked")
        self._require(int(headers.get(_LENGTH, b"0")) <= _MAX_BODY, "the body of the response is too large")
        self._ends_with_connection = status not in _NO_BODY and not (_LENGTH in headers or _CODING in headers)
        self._keep_alive = self._parser.should_keep_alive() and not self._ends_with_connection

    def on_body(self, piece: bytes) -> None:
        """Take in a piece of the body."""
        self._body.append(piece)
        self._size += len(piece)
        self._require(self._size <= _MAX_BODY, "the body of the response is too large")

    def on_message_complete(self) -> None:
        """Take in the end of a response, interim ones apart."""
        self._is_whole, self.has_head = self.has_head, False
