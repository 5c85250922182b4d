"""WebSocket frames of a client (RFC 6455 5.2), as bytes; the mask is four zeros, which masks nothing."""

HANDSHAKE = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
CONTINUATION, TEXT, PING, FIN = 0x0, 0x1, 0x9, 0x80
_MASKED = 0x80
_SHORT = 125


def frame(first: int, payload: bytes = b"") -> bytes:
    """Return one frame; `first` is its opcode, with FIN or without."""
    size = len(payload)
    length = bytes((_MASKED | size,)) if size <= _SHORT else bytes((_MASKED | 126,)) + size.to_bytes(2, "big")
    return bytes((first,)) + length + bytes(4) + payload


def text(payload: bytes) -> bytes:
    """Return a whole message."""
    return frame(FIN | TEXT, payload)
