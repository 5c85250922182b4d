"""A QoS 1 publisher over MQTT 3.1.1: messages in, a call for each PUBACK out; reconnects and sends again by itself.

Bounded: at most `window` messages are on the way, and `publish` is for a publisher that `has_room`. What is on the
way when a connection ends is sent again on the next one, with DUP set and the same packet identifier, in the same
order; the session is not a clean one, so that the broker knows them. Never subscribes.

Small: a process has ten thousand of them, so one that is idle holds no task, no timer and no buffer. `Upkeep` visits
them and connects them again.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import cast

from simulator.core.addresses import Broker
from simulator.core.errors import ConnectionLost, Unreachable
from simulator.send.drivers import mqtt_wire as wire

KEEPALIVE_S = 15
_SILENT_VISITS = 5
"""Without a byte from the broker: then the connection is dead. Visits are counted, not seconds, for a process that was
held back has not read what came meanwhile."""
_MAX_ID = 65_535
_REFUSALS = {
    1: "it does not speak MQTT 3.1.1",
    2: "it does not take the client id",
    3: "it is not available",
    4: "it does not take the user name or password",
    5: "it does not let us in",
}


class MqttPublisher:
    """One client of the broker. It is connected, and kept so, by `upkeep`."""

    __slots__ = (
        "_broker", "_client_id", "_has_written", "_is_known", "_last_id", "_link", "_news", "_on_ack",
        "_on_lost", "_on_the_way", "_silent", "_unwritten", "_window", "has_room", "keepalive", "losses", "on_room",
    )  # fmt: skip

    def __init__(
        self,
        broker: Broker,
        *,
        client_id: str,
        on_ack: Callable[[int], None],
        window: int = 1_000,
        keepalive: int = KEEPALIVE_S,
    ) -> None:
        """`on_ack` is called with the token of each message the broker has taken; `keepalive` in seconds."""
        self._broker = broker
        self._client_id = client_id
        self._on_ack = on_ack
        self._on_lost: Callable[[], None] = _tell_nobody
        self.on_room: Callable[[], None] = _tell_nobody
        """Called when there is room again."""
        self._window = min(window, _MAX_ID)
        self.keepalive = keepalive
        """Seconds in which the broker must hear of us."""
        self._last_id = 0
        self._on_the_way: dict[int, tuple[int, bytes]] = {}
        self._unwritten: list[bytes] | None = None
        self._link: _Link | None = None
        self._is_known = False
        self._has_written = False
        self._silent = 0
        self._news: asyncio.Event | None = None
        self.has_room = False
        """Whether `publish` may be called."""
        self.losses = 0
        """Connections that ended by themselves."""

    @property
    def in_flight(self) -> int:
        """Messages without a PUBACK."""
        return len(self._on_the_way)

    async def room(self, timeout: float) -> bool:
        """Wait for room, at most so many seconds; return whether there is room."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while not self.has_room:
                    self._news = self._news or asyncio.Event()
                    await self._news.wait()
        return self.has_room

    def publish(self, topic: bytes, payload: bytes, *, token: int) -> None:
        """Send a message; only while `has_room`. All that is published in one turn of the event loop is one write."""
        packet_id = self._free_id()
        packet = wire.publish(topic, payload, packet_id=packet_id)
        self._on_the_way[packet_id] = (token, packet)
        if self._unwritten is None:
            self._unwritten = []
            asyncio.get_running_loop().call_soon(self._flush)
        self._unwritten.append(packet)
        if len(self._on_the_way) >= self._window:
            self.has_room = False

    def _flush(self) -> None:
        packets, self._unwritten = self._unwritten, None
        if packets and self._link is not None:  # else they are sent again with the rest
            self._link.write(b"".join(packets))
            self._has_written = True

    def _free_id(self) -> int:
        number = self._last_id % _MAX_ID + 1
        while number in self._on_the_way:
            number = number % _MAX_ID + 1
        self._last_id = number
        return number

    def hang_up(self) -> None:
        """Break the connection as a lost radio link does; it is made anew, and what was on the way sent again."""
        if self._link is not None:
            self._link.abort()

    def visit(self) -> None:
        """Ping if nothing was written since the last visit; hang up if the broker has been silent for several."""
        link, has_written = self._link, self._has_written
        if link is None:
            return
        self._silent += 1
        self._has_written = False
        if self._silent > _SILENT_VISITS:
            link.abort()
        elif not has_written:
            link.write(wire.PINGREQ)

    def take_acks(self, numbers: Sequence[int]) -> None:
        """Be told by the connection of PUBACKs; of none, that the broker has said something else."""
        self._silent = 0
        for number in numbers:
            found = self._on_the_way.pop(number, None)
            if found is None:
                raise ConnectionLost("a PUBACK for a message that is not on the way")
            self._on_ack(found[0])
        if numbers and not self.has_room:
            self.update_room()

    def lose(self, link: "_Link") -> None:
        """Be told by a connection that it has ended."""
        if link is self._link:
            self._link = None
            self.losses += 1
            self.update_room()
            self._on_lost()

    def update_room(self) -> None:
        """Be told by the connection that it takes more, or no more."""
        had_room = self.has_room
        is_open = self._link is not None and not self._link.is_paused
        self.has_room = is_open and len(self._on_the_way) < self._window
        if self.has_room and not had_room:
            self.on_room()
            if self._news is not None:  # somebody waits
                self._news.set()
                self._news = None

    async def connect(self, on_lost: Callable[[], None]) -> None:
        """Connect, send again what was on the way, and call `on_lost` when it ends by itself. Raises Unreachable."""
        link = await self._greet(clean=False)
        self._on_lost, self._link = on_lost, link
        self._is_known, self._silent = True, 0
        if self._on_the_way:
            if self._unwritten:
                self._unwritten.clear()  # they are on the way too, and are sent here
            link.write(b"".join(wire.again(packet) for _, packet in self._on_the_way.values()))
        self.update_room()
        if link.is_closed:
            self.lose(link)

    async def leave(self) -> None:
        """Disconnect, and have the broker forget the session, if there was one. Raises Unreachable."""
        link, self._link = self._link, None
        self.update_room()
        if link is not None:
            link.say_goodbye()
        if self._is_known:
            (await self._greet(clean=True)).say_goodbye()

    async def _greet(self, *, clean: bool) -> "_Link":
        """Open a connection and be let in. Raises Unreachable."""
        broker, loop = self._broker, asyncio.get_running_loop()
        where = f"{broker.host}:{broker.port}"
        connack: asyncio.Future[int] = loop.create_future()
        link = _Link(self, connack)
        hello = wire.connect(
            self._client_id, keepalive=self.keepalive, clean=clean, user=broker.user, password=broker.password
        )
        try:
            async with asyncio.timeout(self.keepalive):
                await loop.create_connection(lambda: link, broker.host, broker.port)
                link.write(hello)
                code = await connack
        except (OSError, ConnectionLost) as error:  # TimeoutError is an OSError
            link.abort()
            raise Unreachable(f"The MQTT broker at {where} does not answer: {error or 'time out'}.") from error
        finally:
            link.connack = None
        if code:
            link.abort()
            why = _REFUSALS.get(code, f"return code {code}")
            raise Unreachable(f"The MQTT broker at {where} refuses us: {why}.")
        return link


class _Link(asyncio.Protocol):
    """One TCP connection to the broker. `connack` is where its greeting is awaited, None once it is not."""

    __slots__ = ("_owner", "_reader", "connack", "is_closed", "is_paused", "transport")

    def __init__(self, owner: MqttPublisher, connack: "asyncio.Future[int]") -> None:
        self._owner = owner
        self._reader = wire.PacketReader()
        self.is_closed = False
        self.connack: asyncio.Future[int] | None = connack
        self.transport: asyncio.Transport | None = None
        self.is_paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        numbers: Sequence[int] | None = wire.pubacks(data) if self._reader.is_between else None
        try:
            if numbers is None:
                numbers = [packet.number for packet in self._reader.feed(data) if self._is_puback(packet)]
            self._owner.take_acks(numbers)
        except ConnectionLost:
            self.abort()

    def _is_puback(self, packet: wire.Packet) -> bool:
        if packet.kind is wire.PacketKind.CONNACK and self.connack is not None and not self.connack.done():
            self.connack.set_result(packet.number)
        return packet.kind is wire.PacketKind.PUBACK

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_closed = True
        if self.connack is not None and not self.connack.done():
            self.connack.set_exception(ConnectionLost(str(exc or "closed by the broker")))
            self.connack.exception()  # whoever waited may have left: not an error nobody looked at
        self._owner.lose(self)

    def pause_writing(self) -> None:
        self.is_paused = True
        self._owner.update_room()

    def resume_writing(self) -> None:
        self.is_paused = False
        self._owner.update_room()

    def write(self, data: bytes) -> None:
        """Send bytes; into nothing, if the connection is closed."""
        if self.transport is not None:
            self.transport.write(data)

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def say_goodbye(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(wire.DISCONNECT)
            self.transport.close()


def _tell_nobody() -> None:
    """Be called where nobody wants to know."""
