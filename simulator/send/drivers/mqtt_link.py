"""One TCP connection of an MQTT publisher: the broker's bytes in, what they say told to its owner. Never reconnects."""

import asyncio
from collections.abc import Sequence
from typing import Protocol, cast

from simulator.core.errors import ConnectionLost
from simulator.send.drivers import mqtt_wire as wire


class Owner(Protocol):
    """Whose connection it is."""

    def take_acks(self, numbers: Sequence[int]) -> None:
        """Be told of PUBACKs; of none, that the broker said something else. Raises ConnectionLost for a wrong one."""

    def update_room(self) -> None:
        """Be told that the connection takes more, or no more."""

    def lose(self, link: "Link") -> None:
        """Be told that the connection has ended."""


class Link(asyncio.Protocol):
    """One TCP connection to the broker. `connack` is where its greeting is awaited, None once it is not."""

    __slots__ = ("_owner", "_reader", "connack", "is_closed", "is_paused", "transport")

    def __init__(self, owner: Owner, connack: "asyncio.Future[int]") -> None:
        self._owner = owner
        self._reader = wire.PacketReader()
        self.is_closed = False
        self.connack: asyncio.Future[int] | None = connack
        self.transport: asyncio.Transport | None = None
        self.is_paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Be told that the connection is open."""
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Be given what came in."""
        numbers: Sequence[int] | None = wire.pubacks(data) if self._reader.is_between else None
        try:
            if numbers is None:
                numbers = [packet.number for packet in self._reader.feed(data) if self._is_puback(packet)]
            self._owner.take_acks(numbers)
        except ConnectionLost:
            self.abort()

    def _is_puback(self, packet: wire.Packet) -> bool:
        if packet.kind is wire.Kind.CONNACK and self.connack is not None and not self.connack.done():
            self.connack.set_result(packet.number)
        return packet.kind is wire.Kind.PUBACK

    def connection_lost(self, exc: Exception | None) -> None:
        """Be told that the connection has ended."""
        self.is_closed = True
        if self.connack is not None and not self.connack.done():
            self.connack.set_exception(ConnectionLost(str(exc or "closed by the broker")))
            self.connack.exception()  # whoever waited may have left: not an error nobody looked at
        self._owner.lose(self)

    def pause_writing(self) -> None:
        """Be told that the broker reads too slowly."""
        self.is_paused = True
        self._owner.update_room()

    def resume_writing(self) -> None:
        """Be told that it has caught up."""
        self.is_paused = False
        self._owner.update_room()

    def write(self, data: bytes) -> None:
        """Send bytes; into nothing, if the connection is closed."""
        if self.transport is not None:
            self.transport.write(data)

    def abort(self) -> None:
        """Close the connection as a lost radio link does."""
        if self.transport is not None:
            self.transport.abort()

    def say_goodbye(self) -> None:
        """Disconnect as the protocol has it."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(wire.DISCONNECT)
            self.transport.close()
