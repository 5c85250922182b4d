"""A broker for publishers, in a few lines: keeps what is published, acknowledges it, hangs up when told to."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.fakes.listening import listening


@dataclass(frozen=True)
class Published:
    topic: str
    payload: bytes
    packet_id: int
    dup: bool
    client: str = ""


@dataclass
class FakeBroker:
    """Refuses with `code`; hangs up, unacknowledged, on each publish while `hang_ups` lasts."""

    host: str = "127.0.0.1"
    port: int = 0
    code: int = 0
    hang_ups: int = 0
    is_mute: bool = False
    published: list[Published] = field(default_factory=list)
    connects: list[tuple[str, bool]] = field(default_factory=list)
    goodbyes: int = 0
    pings: int = 0
    is_deaf_to: str = ""
    """The client that gets no PUBACK."""
    _clients: dict[asyncio.StreamWriter, str] = field(default_factory=dict)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await self._packet(reader, writer):
            await writer.drain()

    async def _packet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        first = (await reader.readexactly(1))[0]
        body = await reader.readexactly(await _length(reader))
        match first >> 4:
            case 1:
                self._clients[writer] = body[12:].decode()
                self.connects.append((self._clients[writer], bool(body[7] & 2)))
                writer.write(bytes((0x20, 2, 0, self.code)))
            case 3:
                return self._publish(first, body, writer)
            case 12:
                self.pings += 1
                if not self.is_mute:
                    writer.write(b"\xd0\x00")
            case 14:
                self.goodbyes += 1
                return False
        return True

    def _publish(self, first: int, body: bytes, writer: asyncio.StreamWriter) -> bool:
        assert first & 0x06 == 2, "QoS 1"
        size = int.from_bytes(body[:2], "big")
        packet_id = int.from_bytes(body[2 + size : 4 + size], "big")
        topic = body[2 : 2 + size].decode()
        client = self._clients[writer]
        self.published.append(Published(topic, body[4 + size :], packet_id, bool(first & 8), client))
        if self.hang_ups:
            self.hang_ups -= 1
            return False
        if not self.is_mute and client != self.is_deaf_to:
            writer.write(b"\x40\x02" + packet_id.to_bytes(2, "big"))
        return True


async def _length(reader: asyncio.StreamReader) -> int:
    size = 0
    for i in range(4):
        byte = (await reader.readexactly(1))[0]
        size |= (byte & 0x7F) << 7 * i
        if not byte & 0x80:
            break
    return size


@asynccontextmanager
async def running() -> AsyncIterator[FakeBroker]:
    broker = FakeBroker()
    async with listening(broker.serve) as broker.port:
        yield broker
