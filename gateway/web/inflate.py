"""Compressed bytes in, plain bytes out, never more than a limit. Pure; raises BadPayload, TooLarge, UnsupportedMedia.

gzip (RFC 1952; several members are legal) and deflate (RFC 9110 8.4.1.2: zlib format; the raw format that some clients
send is taken too).
"""

import zlib

from gateway.errors import BadPayload, TooLarge, UnsupportedMedia

GZIP, ZLIB, RAW = 31, 15, -15
"""zlib's `wbits`."""
WINDOW = 64 * 1024
"""Bytes given to zlib at a time: what follows a member is copied, so a large window makes many members quadratic."""
MAX_MEMBERS = 1024
"""gzip members of one body: each costs a fresh decompressor, and 20 bytes make one."""


def inflate(data: bytes, *, encoding: str, limit: int) -> bytes:
    """Undo a Content-Encoding (`identity`, `gzip` or `deflate`, any case); `limit` is in bytes of the result."""
    match encoding.strip().lower():
        case "" | "identity":
            return data
        case "gzip" | "x-gzip":
            return _inflate(data, GZIP, limit)
        case "deflate":
            return _inflate(data, ZLIB if _is_zlib(data) else RAW, limit)
        case other:
            raise UnsupportedMedia(f"content encoding {other[:60]!a} is not read here; send gzip, deflate or none")


def _inflate(data: bytes, wbits: int, limit: int) -> bytes:
    parts: list[bytes] = []
    size = position = 0
    for _ in range(MAX_MEMBERS):
        engine = zlib.decompressobj(wbits)
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
    raise BadPayload(f"the body has more than {MAX_MEMBERS} gzip members; compress it as one")


def _feed(engine: "zlib._Decompress", window: bytes, *, room: int) -> bytes:
    if not window:
        raise BadPayload("the compressed body is cut off; send all of it")
    try:
        return engine.decompress(window, room + 1)
    except zlib.error as exc:
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
