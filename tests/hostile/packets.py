"""MQTT 5 packets of a client (OASIS mqtt-v5.0-os): values in, bytes out; and whole packets out of a stream of bytes."""

import asyncio

PUBLISH, PUBACK, CONNACK, SUBACK, PINGREQ = 3, 4, 2, 9, b"\xc0\x00"
_RESPONSE_TOPIC, _CORRELATION_DATA, _MESSAGE_EXPIRY = 0x08, 0x09, 0x02


def number(size: int) -> bytes:
    """Return a variable byte integer (1.5.5)."""
    out = bytearray()
    while size > 0x7F:
        out.append(size & 0x7F | 0x80)
        size >>= 7
    out.append(size)
    return bytes(out)


def words(data: bytes) -> bytes:
    """Return bytes with their length before them (1.5.4)."""
    return len(data).to_bytes(2, "big") + data


def connect(name: str) -> bytes:
    """Return a CONNECT with a clean start, and a window as large as it goes."""
    body = words(b"MQTT") + bytes((5, 2)) + (600).to_bytes(2, "big") + b"\0" + words(name.encode())
    return b"\x10" + number(len(body)) + body


def subscribe(topic: str) -> bytes:
    """Return a SUBSCRIBE with QoS 0."""
    body = b"\0\1\0" + words(topic.encode()) + b"\0"
    return b"\x82" + number(len(body)) + body


def publish(
    topic: str, payload: bytes, *, mid: int, answer_on: str = "", about: bytes = b"", retain: bool = False
) -> bytes:
    """Return a PUBLISH with QoS 1, or 0 if `mid` is 0; `answer_on`: with a Response Topic and Correlation Data."""
    properties = b""
    if answer_on:
        properties = bytes((_RESPONSE_TOPIC,)) + words(answer_on.encode()) + bytes((_CORRELATION_DATA,)) + words(about)
    packet_id = mid.to_bytes(2, "big") if mid else b""
    body = words(topic.encode()) + packet_id + number(len(properties)) + properties + payload
    return bytes((0x30 | (2 if mid else 0) | retain,)) + number(len(body)) + body


async def read(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Return the type and the body of the next packet. Raises EOFError, OSError."""
    first = (await reader.readexactly(1))[0]
    size, shift = 0, 0
    while True:
        byte = (await reader.readexactly(1))[0]
        size |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return first >> 4, await reader.readexactly(size)


def correlation(body: bytes) -> bytes:
    """Return the Correlation Data of a PUBLISH with QoS 0; nothing if it has none."""
    at = 2 + int.from_bytes(body[:2], "big")
    size = body[at]  # properties of a receipt are few
    properties, found = body[at + 1 : at + 1 + size], b""
    while properties:
        kind = properties[0]
        if kind == _MESSAGE_EXPIRY:
            properties = properties[5:]
            continue
        length = int.from_bytes(properties[1:3], "big")
        if kind == _CORRELATION_DATA:
            found = properties[3 : 3 + length]
        if kind not in (_CORRELATION_DATA, 0x03, _RESPONSE_TOPIC):
            return found
        properties = properties[3 + length :]
    return found
