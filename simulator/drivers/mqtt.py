"""A QoS 1 publisher over MQTT 3.1.1: messages in, a call for each PUBACK out; reconnects and sends again by itself.

Bounded: at most `window` messages are on the way, and `publish` is for a publisher that `has_room`. What is on the
way when a connection ends is sent again on the next one, with DUP set and the same packet identifier, in the same
order; the session is not a clean one, so that the broker knows them. Never subscribes.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from types import TracebackType
from typing import Self, cast
from urllib.parse import unquote, urlsplit

from simulator.drivers import mqtt_wire as wire
from simulator.errors import ConnectionLost, Unreachable, UsageError

_PORT = 1883
_FIRST_DELAY, _MAX_DELAY = 0.1, 2.0
_REFUSALS = {
    1: "it does not speak MQTT 3.1.1",
    2: "it does not take the client id",
    3: "it is not available",
    4: "it does not take the user name or password",
    5: "it does not let us in",
}


@dataclass(frozen=True, slots=True)
class Broker:
    """Where a broker is, and who we are there."""

    host: str
    port: int
    user: str = ""
    password: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `host:port` or `mqtt://user:password@host:port`. Raises UsageError."""
        parts = urlsplit(text if "://" in text else f"mqtt://{text}")
        try:
            port = _PORT if parts.port is None else parts.port
        except ValueError:
            port = 0
        if parts.scheme != "mqtt" or not parts.hostname or not port:
            raise UsageError("The broker is given as host:port or mqtt://user:password@host:port.")
        return cls(parts.hostname, port, unquote(parts.username or ""), unquote(parts.password or ""))


class _Link(asyncio.Protocol):
    """One TCP connection to the broker."""

    def __init__(self, publisher: "MqttPublisher") -> None:
        self._publisher = publisher
        self._reader = wire.PacketReader()
        loop = asyncio.get_running_loop()
        self._clock = loop.time
        self.connack: asyncio.Future[int] = loop.create_future()
        self.closed: asyncio.Future[None] = loop.create_future()
        self.is_paused = False
        self.heard = loop.time()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.heard = self._clock()
        try:
            for packet in self._reader.feed(data):
                self._take(packet)
        except ConnectionLost:
            self.transport.abort()

    def _take(self, packet: wire.Packet) -> None:
        if packet.kind is wire.Kind.PUBACK:
            self._publisher._acknowledged(packet.number)  # noqa: SLF001
        elif packet.kind is wire.Kind.CONNACK and not self.connack.done():
            self.connack.set_result(packet.number)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.connack.done():
            self.connack.set_exception(ConnectionLost(str(exc or "closed by the broker")))
            self.connack.exception()  # whoever waited may have left: not an error nobody looked at
        self.closed.set_result(None)
        self._publisher._lost(self)  # noqa: SLF001 - two halves of one thing

    def pause_writing(self) -> None:
        self.is_paused = True
        self._publisher._update_room()  # noqa: SLF001

    def resume_writing(self) -> None:
        self.is_paused = False
        self._publisher._update_room()  # noqa: SLF001


class MqttPublisher:
    """One client of the broker. Use as `async with`; entering connects, leaving ends the session on the broker."""

    def __init__(
        self,
        broker: Broker,
        *,
        client_id: str,
        on_ack: Callable[[int], None],
        random: Random,
        window: int = 1_000,
        keepalive: int = 15,
    ) -> None:
        """`on_ack` is called with the token of each message the broker has taken; `keepalive` in seconds."""
        self._broker = broker
        self._client_id = client_id
        self._on_ack = on_ack
        self._random = random
        self._keepalive = keepalive
        self._free = deque(range(1, window + 1))
        self._on_the_way: dict[int, tuple[int, bytes]] = {}
        self._unwritten: list[bytes] = []
        self._link: _Link | None = None
        self._room = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._empty: asyncio.Future[None] | None = None
        self.losses = 0
        """Connections that ended by themselves."""

    @property
    def in_flight(self) -> int:
        """Messages without a PUBACK."""
        return len(self._on_the_way)

    @property
    def has_room(self) -> bool:
        """Whether `publish` may be called."""
        return self._room.is_set()

    async def __aenter__(self) -> Self:
        link = await self._connect()
        self._keeper = asyncio.create_task(self._keep(link), name=f"mqtt.{self._client_id}")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        await self._leave()

    async def room(self, timeout: float) -> bool:
        """Wait for room, at most so many seconds; return whether there is room."""
        if self._room.is_set():
            return True
        try:
            async with asyncio.timeout(timeout):
                await self._room.wait()
        except TimeoutError:
            return False
        return True

    async def drained(self, timeout: float) -> bool:
        """Wait until every message has its PUBACK, at most so many seconds; return whether that is so."""
        if self._on_the_way:
            self._empty = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._empty], timeout=max(0.0, timeout))
        return not self._on_the_way

    def publish(self, topic: bytes, payload: bytes, *, token: int) -> None:
        """Send a message; only while `has_room`. All that is published in one turn of the event loop is one write."""
        packet_id = self._free.popleft()
        packet = wire.publish(topic, payload, packet_id=packet_id)
        self._on_the_way[packet_id] = (token, packet)
        if not self._unwritten:
            asyncio.get_running_loop().call_soon(self._flush)
        self._unwritten.append(packet)
        if not self._free:
            self._update_room()

    def hang_up(self) -> None:
        """Break the connection as a lost radio link does; it is made anew, and what was on the way sent again."""
        if self._link is not None:
            self._link.transport.abort()

    def _flush(self) -> None:
        packets, self._unwritten = self._unwritten, []
        if self._link is not None:  # else they are sent again with the rest
            self._link.transport.write(b"".join(packets))

    def _acknowledged(self, packet_id: int) -> None:
        found = self._on_the_way.pop(packet_id, None)
        if found is None:
            raise ConnectionLost("a PUBACK for a message that is not on the way")
        self._free.append(packet_id)
        if len(self._free) == 1:
            self._update_room()
        self._on_ack(found[0])
        if self._empty is not None and not self._on_the_way and not self._empty.done():
            self._empty.set_result(None)

    def _lost(self, link: _Link) -> None:
        if link is self._link:
            self._link = None
            self.losses += 1
            self._update_room()

    def _update_room(self) -> None:
        if self._link is not None and not self._link.is_paused and self._free:
            self._room.set()
        else:
            self._room.clear()

    async def _connect(self, *, clean: bool = False) -> _Link:
        """Open a connection and be let in. Raises Unreachable."""
        where = f"{self._broker.host}:{self._broker.port}"
        link = _Link(self)
        try:
            async with asyncio.timeout(self._keepalive):
                await asyncio.get_running_loop().create_connection(lambda: link, self._broker.host, self._broker.port)
                link.transport.write(self._greeting(clean=clean))
                code = await link.connack
        except (OSError, ConnectionLost) as error:  # TimeoutError is an OSError
            _abort(link)
            raise Unreachable(f"The MQTT broker at {where} does not answer: {error or 'time out'}.") from error
        if code:
            _abort(link)
            why = _REFUSALS.get(code, f"return code {code}")
            raise Unreachable(f"The MQTT broker at {where} refuses us: {why}.")
        if not clean:
            self._resume(link)
        return link

    def _greeting(self, *, clean: bool) -> bytes:
        return wire.connect(
            self._client_id,
            keepalive=self._keepalive,
            clean=clean,
            user=self._broker.user,
            password=self._broker.password,
        )

    def _resume(self, link: _Link) -> None:
        self._link = link
        self._unwritten.clear()  # they are on the way too, and are sent here
        link.transport.write(b"".join(wire.again(packet) for _, packet in self._on_the_way.values()))
        self._update_room()

    async def _keep(self, link: _Link) -> None:
        """Watch the connection, replace it when it ends, until cancelled."""
        while True:
            await self._watch(link)
            link = await self._reconnect()

    async def _reconnect(self) -> _Link:
        delay = _FIRST_DELAY
        while True:
            await asyncio.sleep(delay * self._random.uniform(0.5, 1.5))
            delay = min(delay * 2, _MAX_DELAY)
            try:
                return await self._connect()
            except Unreachable:
                continue

    async def _watch(self, link: _Link) -> None:
        """Return when the connection has ended; end it when the broker has been silent for too long."""
        loop = asyncio.get_running_loop()
        while not link.closed.done():
            await asyncio.wait([link.closed], timeout=self._keepalive / 3)
            if loop.time() - link.heard > self._keepalive * 1.5:
                link.transport.abort()
            elif not link.closed.done():
                link.transport.write(wire.PINGREQ)

    async def _leave(self) -> None:
        """Disconnect, and have the broker forget the session; a broker that is gone has nothing to forget."""
        link, self._link = self._link, None
        self._update_room()
        if link is not None:
            _say_goodbye(link)
        try:
            _say_goodbye(await self._connect(clean=True))
        except Unreachable:
            return


def _say_goodbye(link: _Link) -> None:
    if not link.transport.is_closing():
        link.transport.write(wire.DISCONNECT)
        link.transport.close()


def _abort(link: _Link) -> None:
    transport = getattr(link, "transport", None)
    if transport is not None:
        transport.abort()
