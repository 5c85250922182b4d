"""Compress bodies: bytes in, bytes out, the same every time. Pure."""

import sys
import zlib

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

from simulator.plan.scenario import Compression

_GZIP = 31
"""zlib's `wbits` of the gzip format; its header then holds no time."""
_LEVEL = 1


def compress(body: bytes, how: Compression) -> bytes:
    """Return the body in this Content-Encoding (RFC 1952, RFC 8878)."""
    match how:
        case "none":
            return body
        case "gzip":
            engine = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
            return engine.compress(body) + engine.flush()
        case "zstd":
            return zstd.compress(body, _LEVEL)
