"""Parse HTTP/1.1 responses (RFC 9112): bytes in, in any pieces; a response out. Pure: no socket, no clock.

One response at a time, as a client that does not pipeline gets them. Raises ProtocolError only.
"""

from dataclasses import dataclass
from enum import Enum, auto

from simulator.core.errors import ProtocolError

_MAX_HEAD = 64 * 1024
_MAX_BODY = 256 * 1024 * 1024
_FIRST_FINAL = 200
_NO_BODY = frozenset({204, 304})


@dataclass(frozen=True, slots=True)
class Response:
    """A whole response; header names are in lower case, of repeated headers the last one is kept."""

    status: int
    headers: dict[str, str]
    body: bytes
    keep_alive: bool


class _At(Enum):
    HEAD = auto()
    BODY = auto()
    TO_THE_END = auto()
    CHUNK_SIZE = auto()
    CHUNK = auto()
    TRAILER = auto()


class ResponseReader:
    """Holds what has come in of one response. After a response it is ready for the next."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._begin()

    def _begin(self) -> None:
        self._at = _At.HEAD
        self._status = 0
        self._headers: dict[str, str] = {}
        self._keep_alive = True
        self._missing = 0
        self._is_last_chunk = False
        self._body = bytearray()

    @property
    def is_idle(self) -> bool:
        """Whether no part of a response has come in."""
        return self._at is _At.HEAD and not self._rest

    @property
    def has_head(self) -> bool:
        """Whether the head of a final response is in, and its body is not yet at its end."""
        return self._at is not _At.HEAD

    @property
    def status(self) -> int:
        """The status of the response that is coming in; 0 before its head is in."""
        return self._status

    def take(self) -> bytes:
        """Return what has come of a body that is not at its end, and keep it no longer: for one that never ends."""
        taken = bytes(self._body)
        self._body.clear()
        return taken

    def feed(self, data: bytes) -> Response | None:
        """Take in bytes; return the response once it is complete. Bytes beyond it are an error."""
        self._rest += data
        while self._step():
            if self._at is _At.HEAD and self._status >= _FIRST_FINAL:
                return self._finish()
        return None

    def end(self) -> Response | None:
        """Take in the end of the stream: it completes a body without a length, and cuts short any other."""
        if self._at is _At.TO_THE_END:
            self._at = _At.HEAD
            return self._finish()
        return None

    def _finish(self) -> Response:
        if self._rest:
            raise ProtocolError("bytes after the end of the response")
        response = Response(self._status, self._headers, bytes(self._body), self._keep_alive)
        self._begin()
        return response

    def _step(self) -> bool:
        """Consume what can be consumed; return whether anything changed. At the end of a response: back to HEAD."""
        match self._at:
            case _At.HEAD:
                return self._read_head()
            case _At.BODY | _At.CHUNK | _At.TO_THE_END:
                return self._read_body()
            case _At.CHUNK_SIZE:
                return self._read_chunk_size()
            case _At.TRAILER:
                return self._read_trailer()

    def _read_head(self) -> bool:
        end = self._rest.find(b"\r\n\r\n")
        if end < 0:
            if len(self._rest) > _MAX_HEAD:
                raise ProtocolError("the head of the response does not end")
            return False
        lines = self._rest[:end].decode("latin-1").split("\r\n")
        del self._rest[: end + 4]
        version, self._status = _parse_status(lines[0])
        self._headers = dict(_parse_header(line) for line in lines[1:])
        connection = self._headers.get("connection", "").lower()
        self._keep_alive = "close" not in connection and (version == "HTTP/1.1" or "keep-alive" in connection)
        if self._status >= _FIRST_FINAL:
            self._choose_body()
        return True

    def _choose_body(self) -> None:
        """RFC 9112 part 6.3."""
        if self._status in _NO_BODY:
            return
        if "transfer-encoding" in self._headers:
            if self._headers["transfer-encoding"].strip().lower() != "chunked":
                raise ProtocolError("a transfer encoding other than chunked")
            self._at = _At.CHUNK_SIZE
        elif "content-length" in self._headers:
            self._missing = _parse_number(self._headers["content-length"], base=10)
            self._at = _At.BODY if self._missing else _At.HEAD
        else:
            self._keep_alive = False
            self._at = _At.TO_THE_END
            self._missing = _MAX_BODY + 1

    def _read_body(self) -> bool:
        if not self._rest:
            return False
        taken = self._rest[: self._missing]
        del self._rest[: len(taken)]
        self._body += taken
        self._missing -= len(taken)
        if len(self._body) > _MAX_BODY:
            raise ProtocolError("the body of the response is too large")
        if self._missing == 0:
            self._at = _At.TRAILER if self._at is _At.CHUNK else _At.HEAD
        return True

    def _read_chunk_size(self) -> bool:
        line = self._line()
        if line is None:
            return False
        self._missing = _parse_number(line.partition(";")[0], base=16)
        self._at = _At.CHUNK if self._missing else _At.TRAILER
        self._is_last_chunk = self._missing == 0
        return True

    def _read_trailer(self) -> bool:
        """Read the empty line after a chunk, or the trailer section after the last one."""
        line = self._line()
        if line is None:
            return False
        if not self._is_last_chunk:
            if line:
                raise ProtocolError("a chunk longer than its size")
            self._at = _At.CHUNK_SIZE
        elif not line:
            self._at = _At.HEAD
        return True

    def _line(self) -> str | None:
        end = self._rest.find(b"\r\n")
        if end < 0:
            if len(self._rest) > _MAX_HEAD:
                raise ProtocolError("a line that does not end")
            return None
        line = self._rest[:end].decode("latin-1")
        del self._rest[: end + 2]
        return line


def _parse_status(line: str) -> tuple[str, int]:
    version, _, rest = line.partition(" ")
    if version not in {"HTTP/1.1", "HTTP/1.0"}:
        raise ProtocolError(f"not an HTTP/1 response: {line[:40]!r}")
    return version, _parse_number(rest[:3], base=10)


def _parse_header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon or not name or name != name.strip():
        raise ProtocolError(f"not a header: {line[:40]!r}")
    return name.lower(), value.strip()


def _parse_number(text: str, *, base: int) -> int:
    digits = text.strip()
    if not digits.isascii() or not digits.isalnum():
        raise ProtocolError(f"not a number: {text[:40]!r}")
    try:
        number = int(digits, base)
    except ValueError:
        raise ProtocolError(f"not a number: {text[:40]!r}") from None
    if number > _MAX_BODY:
        raise ProtocolError("the body of the response is too large")
    return number
