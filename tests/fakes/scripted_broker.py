"""A broker that does what a test says, for what real brokers do only on a bad day. Speaks just enough MQTT 5.

Each connection that subscribes is a `Peer`: `send` publishes to it, `acks` lists the packet ids it has acknowledged,
in order.
"""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, PINGREQ, DISCONNECT = 1, 2, 3, 4, 8, 9, 12, 14
PINGRESP = b"\xd0\x00"
GOODBYE = b"\xe0\x02\x00\x00"


class Peer:
    """One connection of a gateway."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self.connect = b""
        self.filter = ""
        self.acks: list[int] = []
        self.published: list[bytes] = []
        self.pinged = False
        self.said_goodbye = False
        self.gone = False

    def send(self, topic: str, payload: bytes, *, mid: int, qos: int = 1) -> None:
        self.writer.write(publish_packet(topic, payload, mid=mid, qos=qos))

    def disconnect(self) -> None:
        """End cleanly: DISCONNECT with reason 0 from the broker's side."""
        self.writer.write(GOODBYE)
        self.writer.close()

    def reset(self) -> None:
        """End with a reset (RST): the other side's next write fails."""
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


class ScriptedBroker:
    """Listens on 127.0.0.1; `connack` and `suback` are the reason codes it answers with, None is silence."""

    def __init__(self) -> None:
        self.port = 0
        self.connack: int | None = 0
        self.suback: int | None = 1
        self.connack_properties = b""
        self.answers_pings = True
        self.hang_ups = 0
        """Connections yet to be ended, by DISCONNECT, in the same breath as they are accepted."""
        self.accepted = 0
        self.connects = 0
        self.peers: list[Peer] = []
        """Those that have subscribed."""
        self.open: set[asyncio.StreamWriter] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(writer)
        self.open.add(writer)
        self.accepted += 1
        try:
            while True:
                kind, body = await _read_packet(reader)
                self._answer(peer, kind, body)
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            peer.gone = True
        finally:
            self.open.discard(writer)
            writer.close()
            with suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()

    def close(self) -> None:
        for writer in list(self.open):
            writer.transport.abort()

    def _answer(self, peer: Peer, kind: int, body: bytes) -> None:
        if kind == CONNECT:
            self.connects += 1
            peer.connect = body
            if self.connack is not None:
                properties = self.connack_properties
                tail = bytes((0, self.connack, len(properties))) + properties
                goodbye = GOODBYE if self.hang_ups else b""
                peer.writer.write(bytes((CONNACK << 4, len(tail))) + tail + goodbye)
                self.hang_ups -= bool(self.hang_ups)
        elif kind == SUBSCRIBE:
            self._subscribed(peer, body)
        elif kind == PUBACK:
            peer.acks.append(int.from_bytes(body[:2], "big"))
        elif kind == PUBLISH:
            peer.published.append(body)
        elif kind == PINGREQ:
            peer.pinged = True
            if self.answers_pings:
                peer.writer.write(PINGRESP)
        elif kind == DISCONNECT:
            peer.said_goodbye = True

    def _subscribed(self, peer: Peer, body: bytes) -> None:
        length = int.from_bytes(body[3:5], "big")
        peer.filter = body[5 : 5 + length].decode()
        if self.suback is not None:
            peer.writer.write(bytes((SUBACK << 4, 4)) + body[:2] + bytes((0, self.suback)))
            if self.suback == 1:
                self.peers.append(peer)


@asynccontextmanager
async def scripted_broker(tls: ssl.SSLContext | None = None) -> AsyncIterator[ScriptedBroker]:
    """A broker on a free port."""
    broker = ScriptedBroker()
    server = await asyncio.start_server(broker.serve, "127.0.0.1", 0, ssl=tls)
    broker.port = server.sockets[0].getsockname()[1]
    try:
        yield broker
    finally:
        server.close()
        broker.close()
        await asyncio.sleep(0)
        await server.wait_closed()


def publish_packet(topic: str, payload: bytes, *, mid: int, qos: int = 1, properties: bytes = b"") -> bytes:
    """PUBLISH (MQTT 5, 3.3)."""
    name = topic.encode()
    packet_id = struct.pack("!H", mid) if qos else b""
    body = struct.pack("!H", len(name)) + name + packet_id + variable(len(properties)) + properties + payload
    return bytes((PUBLISH << 4 | qos << 1,)) + variable(len(body)) + body


def variable(number: int) -> bytes:
    """Variable byte integer (MQTT 5, 1.5.5)."""
    out = bytearray()
    while True:
        number, digit = divmod(number, 128)
        out.append(digit | (0x80 if number else 0))
        if not number:
            return bytes(out)


async def _read_packet(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    kind = (await reader.readexactly(1))[0] >> 4
    length, shift = 0, 0
    while True:
        digit = (await reader.readexactly(1))[0]
        length |= (digit & 0x7F) << shift
        shift += 7
        if not digit & 0x80:
            return kind, await reader.readexactly(length)
