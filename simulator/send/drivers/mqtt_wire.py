"""MQTT 3.1.1 packets of a QoS 1 publisher (OASIS mqtt-v3.1.1-os): values in, bytes out, and back. Pure.

Reads only what a broker sends to a client that never subscribes. Raises ProtocolError only.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum

from simulator.core.errors import ProtocolError

_PUBLISH_QOS1 = 0x32
_DUP = 0x08
_MAX_PACKET = 1024 * 1024
_MAX_LENGTH_BYTES = 4
_PUBACK_HEAD = (0x40, 2)
_PUBACK_SIZE = 4
_CONNACK_LENGTH = 2

PINGREQ = b"\xc0\x00"
DISCONNECT = b"\xe0\x00"


class PacketKind(IntEnum):
    """Packet types (part 2.2.1) that may come from the broker."""

    CONNACK = 2
    PUBACK = 4
    PINGRESP = 13


@dataclass(frozen=True, slots=True)
class Packet:
    """`number` is the return code of a CONNACK, the packet identifier of a PUBACK, 0 of a PINGRESP."""

    kind: PacketKind
    number: int


def connect(client_id: str, *, keepalive: int, clean: bool, user: str = "", password: str = "") -> bytes:
    """Return a CONNECT (part 3.1); `keepalive` in seconds."""
    flags = (0x02 if clean else 0) | (0x80 if user else 0) | (0x40 if user and password else 0)
    payload = _text(client_id) + (_text(user) if user else b"") + (_text(password) if user and password else b"")
    body = _text("MQTT") + bytes((4, flags)) + keepalive.to_bytes(2, "big") + payload
    return b"\x10" + _length(len(body)) + body


def publish(topic: bytes, payload: bytes, *, packet_id: int) -> bytes:
    """Return a PUBLISH with QoS 1 (part 3.3); `packet_id` from 1 to 65535."""
    size = len(topic)
    return b"%c%b%c%c%b%c%c%b" % (
        _PUBLISH_QOS1,
        _length(4 + size + len(payload)),
        size >> 8,
        size & 0xFF,
        topic,
        packet_id >> 8,
        packet_id & 0xFF,
        payload,
    )


def again(packet: bytes) -> bytes:
    """Return a PUBLISH as it is sent a second time, with DUP set [MQTT-3.3.1-1]."""
    return bytes((packet[0] | _DUP,)) + packet[1:]


def pubacks(data: bytes) -> tuple[int, ...] | None:
    """Return the packet identifiers if this is PUBACKs and nothing else, all of them whole; None if it is not.

    It is what a loaded broker sends nearly always, and taken at once it costs a tenth of what packet by packet does.
    """
    count = len(data) // _PUBACK_SIZE
    if data[::4] != b"\x40" * count or data[1::4] != b"\x02" * count or len(data) % _PUBACK_SIZE:
        return None
    return struct.unpack(">" + "2xH" * count, data)


class PacketReader:
    """Cuts what the broker sends into packets."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    @property
    def is_between(self) -> bool:
        """Whether what comes next begins a packet."""
        return not self._rest

    def feed(self, data: bytes) -> list[Packet]:
        """Take in bytes, in any pieces; return the packets that are complete."""
        data = self._rest + data
        found: list[Packet] = []
        at, end = 0, len(data)
        while end - at >= 2:  # noqa: PLR2004 - the shortest packet
            if (data[at], data[at + 1]) == _PUBACK_HEAD and end - at >= 4:  # noqa: PLR2004 - nearly all there is
                found.append(Packet(PacketKind.PUBACK, data[at + 2] << 8 | data[at + 3]))
                at += 4
                continue
            size = _body_at(data, at)
            if size is None or size[1] > end:
                break
            found.append(_parse(data[at] >> 4, data[size[0] : size[1]]))
            at = size[1]
        self._rest = data[at:]
        return found


def _parse(kind: int, body: bytes) -> Packet:
    if kind == PacketKind.CONNACK and len(body) == _CONNACK_LENGTH:
        return Packet(PacketKind.CONNACK, body[1])
    if kind == PacketKind.PINGRESP and not body:
        return Packet(PacketKind.PINGRESP, 0)
    raise ProtocolError(f"packet type {kind} with {len(body)} bytes from the broker")


def _body_at(data: bytes, at: int) -> tuple[int, int] | None:
    """Return where the body of the packet at `at` begins and ends (part 2.2.3), None if that is not told yet."""
    size = 0
    for i, byte in enumerate(data[at + 1 : at + 1 + _MAX_LENGTH_BYTES]):
        size |= (byte & 0x7F) << 7 * i
        if size > _MAX_PACKET:
            raise ProtocolError("a packet too large for a broker to send to a publisher")
        if not byte & 0x80:
            begin = at + 2 + i
            return begin, begin + size
    if len(data) - at > _MAX_LENGTH_BYTES:
        raise ProtocolError("a length that does not end")
    return None


def _length(size: int) -> bytes:
    out = bytearray()
    while size > 0x7F:  # noqa: PLR2004 - seven bits a byte
        out.append(size & 0x7F | 0x80)
        size >>= 7
    out.append(size)
    return bytes(out)


def _text(text: str) -> bytes:
    data = text.encode()
    return len(data).to_bytes(2, "big") + data
