"""The senders of a load: waves of requests, as many at once as in a closed loop, each answered before the next.

In: a load, a worker. Out: what is sent, made beforehand, and connections to send it on. Nothing leaves this process.
"""

import asyncio
import socket
from collections.abc import Callable, Iterator
from itertools import count, cycle
from typing import Any, NamedTuple

from gateway.mqtt.address import Address
from gateway.mqtt.connection import BrokerConnection
from gateway.web.server.protocol import Connection
from simulator.measure.bench.posts import Posts, device_names, to_templates
from tests.instructions.loads import Load, form_of
from tests.instructions.still import NOW_US
from tests.instructions.worker import KEY, Worker

PREFIX = "bench"
PUBACK_BYTES = 4
UNSAID = b"@@@@@@@@"
"""Where a number goes that makes each head another."""
HEAD = f"HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nAuthorization: Bearer {KEY}\r\n"


class Tally:
    """Counts answers, and tells when those that are due are there."""

    def __init__(self) -> None:
        self._answered = 0
        self._due = 0
        self._whole = asyncio.Event()

    def answer(self, count: int = 1) -> None:
        """Note answers."""
        self._answered += count
        if self._answered >= self._due:
            self._whole.set()

    async def after(self, send: Callable[[], None], *, count: int) -> None:
        """Send a wave; return when so many more answers are here."""
        self._due += count
        self._whole.clear()
        send()
        await self._whole.wait()


class Answers(asyncio.Transport):
    """A connection's other end: takes answers."""

    def __init__(self, tally: Tally) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self._tally = tally
        self.last = b""

    def write(self, data: Any) -> None:
        self.last = data
        self._tally.answer()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing is ever buffered."""

    def pause_reading(self) -> None:
        """Nothing is read here."""

    def resume_reading(self) -> None:
        """Nothing is read here."""

    def close(self) -> None:
        """Nothing is open."""

    def abort(self) -> None:
        """Nothing is open."""


class Near(NamedTuple):
    """What sends a wave to a worker."""

    send: Callable[[list[bytes]], None]
    tally: Tally
    last: Callable[[], bytes]
    """What was answered last."""


def connect(load: Load, worker: Worker) -> Near:
    """Open as many connections as send at once; over MQTT one, the broker's."""
    return _over_mqtt(worker) if load.kind == "mqtt" else _over_http(load, worker)


def _over_http(load: Load, worker: Worker) -> Near:
    loop, tally = asyncio.get_running_loop(), Tally()
    ends = [Answers(tally) for _ in range(load.at_once)]
    connections = [Connection(more=False, loop=loop, app=worker.app, connections=set()) for _ in ends]
    for connection, end in zip(connections, ends, strict=True):
        end.set_protocol(connection)
        connection.connection_made(end)

    def send(wave: list[bytes]) -> None:
        for connection, data in zip(connections, wave, strict=True):
            connection.data_received(data)

    return Near(send, tally, lambda: ends[-1].last)


def _over_mqtt(worker: Worker) -> Near:
    """A connection to a broker that is this process, as it is after SUBACK."""
    loop, tally, heard = asyncio.get_running_loop(), Tally(), bytearray()
    near, far = socket.socketpair()
    near.setblocking(False)
    far.setblocking(False)
    link = BrokerConnection(
        Address("127.0.0.1", 1), worker.consumer._arrived, client_id="c", receive_max=1000, session_expiry_secs=1
    )
    link._client._sock = near
    loop.add_reader(near.fileno(), link._read)

    def read() -> None:
        acknowledged = far.recv(65_536)
        heard[:] = acknowledged
        tally.answer(len(acknowledged) // PUBACK_BYTES)

    loop.add_reader(far.fileno(), read)
    return Near(lambda wave: far.sendall(b"".join(wave)), tally, lambda: bytes(heard))


def requests(load: Load) -> Iterator[bytes]:
    """Yield requests (for MQTT: publishes) without end; every device has said something after its first one."""
    form = form_of(load)
    posts = Posts(to_templates(form, prefix=PREFIX, head=_head(load)), form=form, start_ms=NOW_US // 1000)
    for number in count(1):
        topic, data = posts.next()
        if load.kind == "mqtt":
            yield publish(topic, data, number % 0xFFFF + 1)
        else:
            yield data.replace(UNSAID, b"%08d" % number, 1)


def reads(load: Load) -> Iterator[bytes]:
    """Yield requests for one device's state without end."""
    for name in cycle(device_names(PREFIX, form_of(load))):
        yield f"GET /v1/devices/{name}/state {HEAD}\r\n".encode()


def _head(load: Load) -> Callable[[int], bytes] | None:
    more = f"X-Request-Id: {UNSAID.decode()}\r\n" if load.kind == "vary" else ""
    return (
        None
        if load.kind == "mqtt"
        else lambda size: f"POST /v1/readings {HEAD}{more}Content-Length: {size}\r\n\r\n".encode()
    )


def publish(topic: bytes, payload: bytes, packet_id: int) -> bytes:
    """Return a PUBLISH of QoS 1 without properties (MQTT 5, 3.3)."""
    body = len(topic).to_bytes(2, "big") + topic + packet_id.to_bytes(2, "big") + b"\0" + payload
    size = len(body)
    return bytes((0x32, size)) + body if size < 128 else bytes((0x32, size & 0x7F | 0x80, size >> 7)) + body
