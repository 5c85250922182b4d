"""`python -m tests.peers.load`: the load generator, in a process of its own: a Job on stdin, a Sent on stdout.

A closed loop: a connection sends its next request when the last one is answered. So what it has had acknowledged are
the first so many of its requests, which is what is looked for in the store. Only 2xx and PUBACK (QoS 1) acknowledge.
"""

import asyncio
import sys
import time
from abc import ABC, abstractmethod
from collections import Counter
from contextlib import suppress
from typing import cast

import msgspec
import uvloop

from tests.peers.sequence import Requests
from tests.peers.works import WORKS, Job, Sent

HOST = "127.0.0.1"
AGAIN_SECS = 0.01
"""Before a connection that broke is opened again."""
ANSWER_SECS = 20.0
"""Longest wait for the last answers."""
_CONNACK, _PUBACK = 2, 4


class Run:
    """What all connections of a job share."""

    def __init__(self, job: Job, connections: int) -> None:
        self.job = job
        self.ends = time.perf_counter() + job.seconds
        self.latencies: list[float] = []
        self.errors: Counter[str] = Counter()
        self.last = 0.0
        """When something was acknowledged last."""
        self._open = connections
        self.over = asyncio.Event()

    def closed(self) -> None:
        """Note the end of a connection."""
        self._open -= 1
        if not self._open:
            self.over.set()


class Connection(asyncio.Protocol, ABC):
    """One connection, opened again when it breaks."""

    def __init__(self, run: Run, requests: Requests) -> None:
        self.run = run
        self.requests = requests
        self.done = 0
        """Requests that were acknowledged, in order."""
        self._sent_at = 0.0
        self._finished = False
        self._buffer = b""
        self._again: asyncio.Task[None] | None = None
        self.transport: asyncio.Transport

    @abstractmethod
    def begin(self) -> None:
        """Send what comes first on a new connection."""

    @abstractmethod
    def wire(self, number: int) -> bytes:
        """Return a request as it is sent."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._buffer = b""
        self.begin()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        if self._finished:
            return
        if self.run.job.stop_on_loss or time.perf_counter() >= self.run.ends:
            self.finish("connection lost")
        else:
            self._again = asyncio.get_running_loop().create_task(self._open_again())

    async def _open_again(self) -> None:
        await asyncio.sleep(AGAIN_SECS)
        try:
            await self.open()
        except OSError:
            self.finish("connection refused")

    async def open(self) -> None:
        """Connect. Raises OSError."""
        await asyncio.get_running_loop().create_connection(lambda: self, HOST, self.run.job.door.port)

    def finish(self, error: str = "") -> None:
        """Send nothing more."""
        if not self._finished:
            self._finished = True
            self.run.errors.update([error] if error else [])
            with suppress(AttributeError):  # it was never connected
                self.transport.close()
            self.run.closed()

    def send(self) -> None:
        """Send the next request, unless the time is over."""
        self._sent_at = time.perf_counter()
        if self._sent_at >= self.run.ends:
            self.finish()
        else:
            self.transport.write(self.wire(self.done))

    def acknowledged(self) -> None:
        """Note that the request is acknowledged that was sent last."""
        self.done += 1
        self.run.last = time.perf_counter()
        self.run.latencies.append(self.run.last - self._sent_at)


class HttpConnection(Connection):
    """HTTP/1.1, one request after the other."""

    def begin(self) -> None:
        self.send()

    def wire(self, number: int) -> bytes:
        return self.requests.request(number)

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        head, found, body = buffer.partition(b"\r\n\r\n")
        if not found or not is_whole(head.lower(), body):
            self._buffer = buffer
            return
        self._buffer = b""
        if head[9:10] != b"2":
            self.finish(f"HTTP {head[9:12].decode('latin-1')}")
        else:
            self.acknowledged()
            if b"connection: close" in head.lower():
                self.transport.close()
            else:
                self.send()


def is_whole(head: bytes, body: bytes) -> bool:
    """Return whether all of an answer is there; its head is in lower case."""
    _, declared, rest = head.partition(b"content-length:")
    if declared:
        return len(body) >= int(rest.partition(b"\r\n")[0])
    return b"transfer-encoding: chunked" not in head or body.endswith(b"0\r\n\r\n")


class MqttConnection(Connection):
    """MQTT 3.1.1, QoS 1, one message in flight."""

    def begin(self) -> None:
        name = self.requests.devices[0]
        self._topic = _text(self.run.job.door.topic.replace("{device}", name))
        body = _text("MQTT") + bytes((4, 0x02, 0, 60)) + _text(name)  # level 4, a clean session, 60 s of keepalive
        self.transport.write(b"\x10" + _length(len(body)) + body)

    def wire(self, number: int) -> bytes:
        body = self._topic + (number % 0xFFFF + 1).to_bytes(2, "big") + self.requests.request(number)
        return b"\x32" + _length(len(body)) + body

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data
        while len(buffer) >= 2 and len(buffer) >= 2 + buffer[1]:
            packet, buffer = buffer[: 2 + buffer[1]], buffer[2 + buffer[1] :]
            self._heard(packet)
        self._buffer = buffer

    def _heard(self, packet: bytes) -> None:
        kind = packet[0] >> 4
        if kind == _CONNACK and packet[3]:
            self.finish(f"CONNACK {packet[3]}")
        elif kind == _CONNACK:
            self.send()
        elif kind == _PUBACK:
            self.acknowledged()
            self.send()


def _text(text: str) -> bytes:
    return len(text.encode()).to_bytes(2, "big") + text.encode()


def _length(size: int) -> bytes:
    """Return a length as MQTT writes it (3.1.1, 2.2.3)."""
    digits = bytearray()
    while size >= 0x80:
        digits.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes((*digits, size))


async def main(job: Job) -> Sent:
    """Do a job."""
    work, door = WORKS[job.work], job.door
    each = [
        Requests(work, door, tag=job.tag, connection=number, base_ms=job.base_ms) for number in range(job.connections)
    ]
    each[0].request(0)  # makes the pool, which all share
    run = Run(job, len(each))
    began, cpu = time.perf_counter(), time.process_time()
    connections = [(MqttConnection if door.topic else HttpConnection)(run, requests) for requests in each]
    for connection in connections:
        await connection.open()
    try:
        await asyncio.wait_for(run.over.wait(), job.seconds + ANSWER_SECS)
    except TimeoutError:
        run.errors["no answer"] += 1
    latencies = sorted(run.latencies) or [0.0]
    requests = sum(connection.done for connection in connections)
    return Sent(
        seconds=max(run.last - began, 1e-9),
        acknowledged=requests * work.readings,
        requests=requests,
        p50_ms=1000 * latencies[len(latencies) // 2],
        p99_ms=1000 * latencies[len(latencies) * 99 // 100],
        cpu=time.process_time() - cpu,
        errors=dict(run.errors),
        stamps={name: n for one in connections for name, n in one.requests.stamps(one.done).items()},
    )


if __name__ == "__main__":
    told = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    sys.stdout.buffer.write(msgspec.json.encode(uvloop.run(main(told))))
