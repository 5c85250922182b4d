"""Compressed bytes in, plain bytes out, in steps, within limits. Raises BadPayload, TooLarge, UnsupportedMedia.

gzip (RFC 1952; several members are legal), zstd (RFC 8878; so are several frames) and deflate (RFC 9110 8.4.1.2: zlib
format; the raw format that some clients send is taken too).
"""

import sys
import zlib
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, Protocol

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

from gateway.core.errors import BadPayload, TooLarge, UnsupportedMedia
from gateway.core.slices import Steps

READ = ("gzip", "zstd", "deflate")
"""The content encodings that are read, as Accept-Encoding lists them."""
GZIP, ZLIB, RAW = 31, 15, -15
"""zlib's `wbits`."""
ZSTD_OPTIONS: dict[int, int] = {zstd.DecompressionParameter.window_log_max: 23}
"""A frame may ask for a window of 8 MiB and no more (RFC 9659): what it asks for is allocated."""
BYTES, RATIO = "http.max_inflated_bytes", "http.max_inflated_ratio"
NO_RATIO = 2**32
ALWAYS_TAKEN = 64 * 1024
"""Bytes that may come of a body of any size: a few messages that say the same may be a hundredth of themselves."""
PART = 256 * 1024
"""Bytes that come of one step."""
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


class InflatedLimits(NamedTuple):
    """How large a body may be after decompression."""

    bytes: int
    ratio: int = NO_RATIO
    """Times what was sent; ALWAYS_TAKEN bytes may come of anything."""

    def most(self, sent: int) -> tuple[int, str]:
        """Return how many bytes may come of so many, and the setting that says so."""
        most = max(ALWAYS_TAKEN, self.ratio * sent)
        return (most, RATIO) if most < self.bytes else (self.bytes, BYTES)


def inflate(data: bytes, *, encoding: str, limits: InflatedLimits, grown: Callable[[int], None]) -> Steps[bytes]:
    """Undo a Content-Encoding (`identity`, `gzip`, `zstd`, `deflate`, any case).

    `grown` is told how many bytes have come of it, as they come, and may raise.
    """
    match encoding.strip().lower():
        case "" | "identity":
            return data
        case "gzip" | "x-gzip":
            make: Callable[[], Engine] = partial(zlib.decompressobj, GZIP)
        case "zstd":
            make = partial(zstd.ZstdDecompressor, options=ZSTD_OPTIONS)
        case "deflate":
            make = partial(zlib.decompressobj, ZLIB if _is_zlib(data) else RAW)
        case other:
            raise UnsupportedMedia(f"content encoding {other[:60]!a} is not read here; send {', '.join(READ)} or none")
    return (yield from _Inflation(data, limits, grown).steps(make))


class _Inflation:
    """The decompression of one body."""

    def __init__(self, data: bytes, limits: InflatedLimits, grown: Callable[[int], None]) -> None:
        self._data = data
        self._limit, self._setting = limits.most(len(data))
        self._grown = grown
        self._position = 0
        self._size = 0
        self._parts: list[bytes] = []

    def steps(self, make: Callable[[], Engine]) -> Steps[bytes]:
        """Return the body; `make` is called for each member."""
        for _ in range(MAX_MEMBERS):
            engine = make()
            while not engine.eof:
                self._feed(engine)
                yield
            if self._position == len(self._data):
                return b"".join(self._parts)
        raise BadPayload(f"the body has more than {MAX_MEMBERS} compressed members; compress it as one")

    def _feed(self, engine: Engine) -> None:
        is_waiting = getattr(engine, "needs_input", True)  # zlib hands back what it had no room for, zstd keeps it
        window = self._data[self._position : self._position + WINDOW] if is_waiting else b""
        try:
            part = engine.decompress(window, min(PART, self._limit + 1 - self._size))
        except (zlib.error, zstd.ZstdError) as exc:
            raise BadPayload(f"the compressed body cannot be read: {exc}") from exc
        left = len(engine.unused_data) + len(getattr(engine, "unconsumed_tail", b""))
        self._position += len(window) - left
        if not (window or part or engine.eof):
            raise BadPayload("the compressed body is cut off; send all of it")
        self._take(part)

    def _take(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > self._limit:
            raise _too_large(self._limit, self._setting)
        self._grown(self._size)
        self._parts.append(part)


def _too_large(limit: int, setting: str) -> TooLarge:
    way_out = "send it in parts" if setting == BYTES else "compress it less, or send it in parts"
    message = f"the body is larger than {limit} bytes after decompression ({setting}); {way_out}"
    return TooLarge(message, limit=setting, value=limit)


def _is_zlib(data: bytes) -> bool:
    """Tell RFC 1950 (a method byte, and a checksum over the first two bytes) from raw deflate."""
    return len(data) >= 2 and data[0] & 0x0F == 8 and int.from_bytes(data[:2], "big") % 31 == 0  # noqa: PLR2004
