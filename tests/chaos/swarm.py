"""`python -m tests.chaos.swarm`: thousands of small devices that all connect within seconds, twice; JSON out.

In: a gateway's port, a broker's port, how many devices at each. Out: what was acknowledged, and how long it took. Each
device has a connection of its own, sends a reading until it is acknowledged, and keeps the connection. Then the line of
all of them is cut, and they come again. A device waits as long as it is told to, with jitter, as a good one does.
"""

import argparse
import asyncio
import json
import os
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from http import HTTPStatus

import uvloop

from simulator.send.drivers.mqtt_wire import PacketKind, PacketReader, connect, publish

TIMES = 2
"""How often each device connects."""
ATTEMPT_SECS = 30.0
GIVE_UP_SECS = 120.0
FIRST_PAUSE_SECS, LONGEST_PAUSE_SECS = 0.5, 5.0
KEEPALIVE_SECS = 600
BASE_MS = 1_700_000_000_000
HEAD = "POST /v1/devices/{name}/readings HTTP/1.1\r\nHost: s\r\nAuthorization: Bearer {key}\r\nContent-Length: {size}"
RETRY = re.compile(rb"retry-after: (\d+)", re.IGNORECASE)
LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)

Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class AgainError(Exception):
    """Not acknowledged; `secs` is how long to wait at least."""

    def __init__(self, why: str, secs: float = 0.0) -> None:
        super().__init__(why)
        self.secs = secs


class Swarm:
    """What all devices share, and what became of their readings."""

    def __init__(self, options: argparse.Namespace, key: str) -> None:
        self.options = options
        self.key = key
        self.acknowledged: Counter[str] = Counter()
        self.again: Counter[str] = Counter()
        """Attempts that came to nothing, by why."""
        self.secs: list[float] = []
        """From the beginning of a connection to the acknowledgement, attempts and all."""
        self.lines: list[Line] = []

    async def run(self) -> None:
        """Let all devices connect, and then again."""
        for time_ in range(TIMES):
            async with asyncio.TaskGroup() as group:
                for i in range(self.options.clients):
                    for door, send in (("http", self._post), ("mqtt", self._publish)):
                        name = f"{self.options.prefix}-{door}-{i}"
                        group.create_task(self._live(door, name, send, time_), name=f"{name}.{time_}")
            lines, self.lines = self.lines, []
            for _, writer in lines:
                writer.transport.abort()

    async def _live(
        self, door: str, name: str, send: Callable[[str, bytes, list[Line]], Awaitable[None]], number: int
    ) -> None:
        await asyncio.sleep(random.uniform(0, self.options.within))
        body = b'{"ts":%d,"values":{"t":%d}}' % (BASE_MS + number, number)
        began, pause, line = time.monotonic(), FIRST_PAUSE_SECS, list[Line]()
        while time.monotonic() - began < GIVE_UP_SECS:
            try:
                async with asyncio.timeout(ATTEMPT_SECS):
                    await send(name, body, line)
                break
            except (OSError, EOFError, TimeoutError, AgainError) as exc:
                self.again[f"{door}: {type(exc).__name__} {exc}"] += 1
                for _, writer in line:
                    writer.transport.abort()
                line.clear()
                await asyncio.sleep(getattr(exc, "secs", 0.0) + random.uniform(0, pause))
                pause = min(2 * pause, LONGEST_PAUSE_SECS)
        else:
            return
        self.acknowledged[door] += 1
        self.secs.append(time.monotonic() - began)
        self.lines += line

    async def _post(self, name: str, body: bytes, line: list[Line]) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.options.port)
        line.append((reader, writer))
        writer.write(HEAD.format(name=name, key=self.key, size=len(body)).encode() + b"\r\n\r\n" + body)
        head = await reader.readuntil(b"\r\n\r\n")
        length = LENGTH.search(head)
        await reader.readexactly(int(length[1]) if length else 0)
        status = int(head[9:12])
        if status != HTTPStatus.OK:
            told = RETRY.search(head)
            raise AgainError(str(status), float(told[1]) if told else 0.0)

    async def _publish(self, name: str, body: bytes, line: list[Line]) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.options.broker)
        line.append((reader, writer))
        packets = PacketReader()
        writer.write(connect(name, keepalive=KEEPALIVE_SECS, clean=True))
        await self._expect(PacketKind.CONNACK, reader, packets)
        writer.write(publish(f"devices/{name}/readings".encode(), body, packet_id=1))
        await self._expect(PacketKind.PUBACK, reader, packets)

    async def _expect(self, kind: PacketKind, reader: asyncio.StreamReader, packets: PacketReader) -> None:
        while True:
            data = await reader.read(1024)
            if not data:
                raise AgainError("the broker closed the connection")
            if any(packet.kind is kind for packet in packets.feed(data)):
                return


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.swarm", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="of the gateway")
    parser.add_argument("--broker", type=int, required=True, help="port of the broker")
    parser.add_argument("--prefix", required=True, help="of the devices' names")
    parser.add_argument("--clients", type=int, required=True, help="at each door")
    parser.add_argument("--within", type=float, required=True, help="seconds in which all of them connect")
    swarm = Swarm(parser.parse_args(), os.environ["SWARM_KEY"])
    uvloop.run(swarm.run())
    times = sorted(swarm.secs)
    report = {"acknowledged": swarm.acknowledged, "again": swarm.again, "p50": times[len(times) // 2], "max": times[-1]}
    sys.stdout.write(json.dumps(report))
