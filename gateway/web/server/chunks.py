"""The chunks of one body (RFC 9112 7.1): a buffer in, the data of the body out. Pure; the only reader of chunks.

Nothing is guessed: a size is hexadecimal digits and nothing else, data ends where its size says and with CRLF, lines
and trailer fields are bounded. A body that is framed in any other way could hide a request from whoever stands before
us.
"""

import re
from typing import Final

MAX_LINE = 64
"""Longest line of a chunk's size with its extensions, in bytes; nobody reads those."""
MAX_CHUNKS = 65_536
"""Of one body: each costs the same, whether it holds a byte or a megabyte."""
MAX_SMALL, SMALL = 4096, 32
"""A body may come in so many chunks of any size, and in one more for each so many bytes that came before."""
EACH_TIME = 64
"""Chunks that are read before others may have their turn."""
MAX_TRAILER_BYTES = 4096
FORBIDDEN: Final = frozenset(
    {
        b"authorization", b"connection", b"content-encoding", b"content-length", b"content-range", b"content-type",
        b"cookie", b"expect", b"host", b"idempotency-key", b"te", b"trailer", b"transfer-encoding", b"upgrade",
    }
)  # fmt: skip
"""Fields that frame, route, authorise or describe a message: no trailer may (RFC 9110 6.5.1)."""
_CRLF = b"\r\n"
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?")
_TRAILER = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[\t\x20-\x7e\x80-\xff]*")
_LINE, _DATA, _CLOSE, _TRAILERS, _END = range(5)
"""What comes next: the line of a size, data, the CRLF behind it, a trailer field or the last empty line, nothing."""


class BadChunk(Exception):
    """This is no body in chunks."""


class ManyChunks(BadChunk):
    """More chunks than are read of one body, for its size."""


class Chunks:
    """How far one body is read."""

    __slots__ = ("_left", "_next", "_trailer_bytes", "count", "size")

    def __init__(self) -> None:
        self.size = 0
        """Bytes of the body, as far as its chunks have said."""
        self.count = 0
        """Of its chunks, so far."""
        self._next = _LINE
        self._left = 0
        """Bytes of the chunk that is being read that have not come."""
        self._trailer_bytes = 0

    def take(self, buffer: bytearray, most: float) -> bytes | None:
        """Take out of the buffer EACH_TIME chunks, or what has come, and return their data; None if the body has ended.

        Empty bytes: more must come first. Stops when the chunks have said that the body is larger than `most` bytes.
        Raises BadChunk.
        """
        parts: list[bytearray] = []
        at, last = 0, self.count + EACH_TIME
        while self._next != _END and self.size <= most and self.count < last:
            end = self._step(buffer, at, parts)
            if end is None:
                break
            at = end
        del buffer[:at]
        return b"".join(parts) if parts or self._next != _END else None

    def _step(self, buffer: bytearray, at: int, parts: list[bytearray]) -> int | None:
        """Read what comes next, and return where it ends; None if it has not come whole."""
        if self._next == _DATA:
            return self._read_data(buffer, at, parts)
        if self._next == _LINE:
            return self._read_size(buffer, at)
        return self._close(buffer, at) if self._next == _CLOSE else self._read_trailer(buffer, at)

    def _read_size(self, buffer: bytearray, at: int) -> int | None:
        end = _end_of_line(buffer, at, MAX_LINE)
        if end is None:
            return None
        line = _SIZE.fullmatch(buffer, at, end)
        self.count += 1
        if line is None:
            raise BadChunk
        if self.count > min(MAX_CHUNKS, MAX_SMALL + self.size // SMALL):
            raise ManyChunks(
                f"{self.count} chunks came for {self.size} bytes; {MAX_SMALL} may, and one more for each {SMALL} bytes,"
                f" up to {MAX_CHUNKS}: send larger chunks, or the length of the body"
            )
        self._left = int(line[1], 16)
        self.size += self._left
        self._next = _DATA if self._left else _TRAILERS
        return end + len(_CRLF)

    def _read_data(self, buffer: bytearray, at: int, parts: list[bytearray]) -> int | None:
        part = buffer[at : at + self._left]
        if not part:
            return None
        parts.append(part)
        self._left -= len(part)
        if not self._left:
            self._next = _CLOSE
        return at + len(part)

    def _close(self, buffer: bytearray, at: int) -> int | None:
        end = bytes(buffer[at : at + len(_CRLF)])
        if not _CRLF.startswith(end):
            raise BadChunk
        if len(end) < len(_CRLF):
            return None
        self._next = _LINE
        return at + len(_CRLF)

    def _read_trailer(self, buffer: bytearray, at: int) -> int | None:
        """Leave a trailer field out: nobody here asked for one."""
        end = _end_of_line(buffer, at, MAX_TRAILER_BYTES - self._trailer_bytes)
        if end is None:
            return None
        if end == at:
            self._next = _END
        elif (field := _TRAILER.fullmatch(buffer, at, end)) is None or field[1].lower() in FORBIDDEN:
            raise BadChunk
        self._trailer_bytes += end + len(_CRLF) - at
        return end + len(_CRLF)


def _end_of_line(buffer: bytearray, at: int, most: int) -> int | None:
    """Return where the CRLF of a line begins, None if it has not come. Raises BadChunk: too long, or bare CR or LF."""
    end = buffer.find(_CRLF, at, at + max(0, most) + len(_CRLF))
    if end >= 0:
        return end
    is_bare = buffer.find(b"\n", at) >= 0 or buffer.find(b"\r", at, len(buffer) - 1) >= 0
    if is_bare or len(buffer) - at > most + 1:
        raise BadChunk
    return None
