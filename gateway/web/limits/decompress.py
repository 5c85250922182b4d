"""Compressed bytes in, plain bytes out, never more than a limit. Pure; raises BadPayload, TooLarge, UnsupportedMedia.

gzip (RFC 1952; several members are legal), zstd (RFC 8878; so are several frames) and deflate (RFC 9110 8.4.1.2: zlib
format; the raw format that some clients send is taken too).
"""

import sys
import zlib
from collections.abc import Callable
from typing import Protocol

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

from gateway.core.errors import BadPayload, TooLarge, UnsupportedMedia

READ = ("gzip", "zstd", "deflate")
"""The content encodings that are read, as Accept-Encoding lists them."""
GZIP, ZLIB, RAW = 31, 15, -15
"""zlib's `wbits`."""
ZSTD_OPTIONS: dict[int, int] = {zstd.DecompressionParameter.window_log_max: 23}
"""A frame may ask for a window of 8 MiB and no more (RFC 9659): what it asks for is allocated."""
WINDOW = 64 * 1024
"""Bytes decompressed at a time: what follows a member is copied, so a large window makes many members quadratic."""
MAX_MEMBERS = 1024
"""gzip members, or zstd frames, of one body: each costs a fresh decompressor, and 20 bytes make one."""


class Engine(Protocol):
    """What decompresses one member, as zlib and zstd have it; `unused_data` is what came behind its end."""

    @property
    def eof(self) -> bool:
        """Whether the member's end was reached."""

    @property
    def unused_data(self) -> bytes:
        """What was given beyond that."""

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        """Return at most so many bytes. Raises zlib.error or ZstdError."""


def inflate(data: bytes, *, encoding: str, limit: int) -> bytes:
    """Undo a Content-Encoding (`identity`, `gzip`, `zstd`, `deflate`, any case); `limit` is in bytes of the result."""
    match encoding.strip().lower():
        case "" | "identity":
            return data
        case "gzip" | "x-gzip":
            return _inflate(data, lambda: zlib.decompressobj(GZIP), limit)
        case "zstd":
            return _inflate(data, lambda: zstd.ZstdDecompressor(options=ZSTD_OPTIONS), limit)
        case "deflate":
            wbits = ZLIB if _is_zlib(data) else RAW
            return _inflate(data, lambda: zlib.decompressobj(wbits), limit)
        case other:
            raise UnsupportedMedia(f"content encoding {other[:60]!a} is not read here; send {', '.join(READ)} or none")


def _inflate(data: bytes, make: Callable[[], Engine], limit: int) -> bytes:
    parts: list[bytes] = []
    size = position = 0
    for _ in range(MAX_MEMBERS):
        engine = make()
        while not engine.eof:
            window = data[position : position + WINDOW]
            part = _feed(engine, window, room=limit - size)
            size += len(part)
            if size > limit:
                raise _too_large(limit)
            parts.append(part)
            position += len(window) - len(engine.unused_data)
        if position == len(data):
            return b"".join(parts)
    raise BadPayload(f"the body has more than {MAX_MEMBERS} compressed members; compress it as one")


def _feed(engine: Engine, window: bytes, *, room: int) -> bytes:
    if not window:
        raise BadPayload("the compressed body is cut off; send all of it")
    try:
        return engine.decompress(window, room + 1)
    except (zlib.error, zstd.ZstdError) as exc:
        raise BadPayload(f"the compressed body cannot be read: {exc}") from exc


def _too_large(limit: int) -> TooLarge:
    return TooLarge(
        f"the body is larger than {limit} bytes after decompression (http.max_inflated_bytes); send it in parts",
        limit="http.max_inflated_bytes",
        value=limit,
    )


def _is_zlib(data: bytes) -> bool:
    """Tell RFC 1950 (a method byte, and a checksum over the first two bytes) from raw deflate."""
    return len(data) >= 2 and data[0] & 0x0F == 8 and int.from_bytes(data[:2], "big") % 31 == 0  # noqa: PLR2004
