"""aiomqtt's client with a fast reader: PUBLISH packets from a socket, many per wake-up. All that knows private parts.

aiomqtt reads one packet a wake-up, paho asks the socket three times a packet and builds ten objects for each; what is
overridden here takes receiving from 30 to 14 µs a message. Whatever is not a PUBLISH without properties goes paho's own
way. aiomqtt 2 acknowledges on receipt and has no public way not to (empicano/aiomqtt#345).
`tests/unit/mqtt/test_fast_reader.py` names what neither library must move.
"""
# ruff: noqa: SLF001 -- private in aiomqtt and paho, which are pinned below their next minor version

import asyncio
import ssl
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import aiomqtt
from paho.mqtt import client as paho
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from gateway.telemetry import mqtt_events

PACKETS_PER_WAKE = 64
"""Packets read per wake-up before others get their turn."""
BYTES_PER_WAKE = 256 * 1024
"""And bytes of payload: what is read is decoded in the same callback."""
_CHUNK_BYTES = 2**16


class PahoClient(aiomqtt.Client, ABC):
    """A client whose messages go to `received` as they are parsed, in the event loop, without a queue."""

    def __init__(self, hostname: str, port: int, **options: Any) -> None:
        super().__init__(hostname, port, **options)
        self.alive = True
        """False from the moment on that nothing more may be delivered or sent."""
        self._paused = False
        self._read_count = 0
        self._read_bytes = 0
        """Of the payloads of this wake-up."""
        self._chunk = b""
        self._chunk_read = 0
        self._client.disable_logger()
        self._client.manual_ack_set(True)
        self._slow_publish = self._client._handle_publish
        self._client._handle_publish = self._fast_publish  # type: ignore[method-assign]
        self._pong = self._client._handle_pingresp
        self._client._handle_pingresp = self._ponged  # type: ignore[method-assign]
        self._round_trip: asyncio.Future[None] | None = None
        self._receive = self._client._sock_recv
        self._client._sock_recv = self._buffered  # type: ignore[assignment,method-assign]
        self._disconnected.add_done_callback(_noticed)

    @abstractmethod
    def received(self, topic: bytes, payload: bytes, *, qos: int, mid: int, properties: Any) -> None:
        """Take a message; `properties` are paho's, or None. Must neither wait nor raise."""

    @abstractmethod
    def accepted(self, *, session_resumed: bool, properties: Properties | None) -> None:
        """Note what the broker says when it takes the connection."""

    @abstractmethod
    def sent(self) -> None:
        """Note that a message of ours is on its way."""

    @abstractmethod
    def refused(self, reason: ReasonCode) -> None:
        """Note why the broker ends the connection."""

    async def connect(self) -> None:
        """Return when the broker has taken the connection. Raises aiomqtt.MqttError."""
        await self.__aenter__()
        self._disconnected.add_done_callback(_noticed)  # it may be a new one

    async def disconnected(self, timeout: float | None = None) -> None:
        """Return when the connection is over, or `timeout` seconds later."""
        await asyncio.wait([self._disconnected], timeout=timeout)

    def write_packet(self, command: int, packets: bytes) -> None:
        """Send packets of one kind as they are."""
        self._client._packet_queue(command, packets, 0, 1)

    def write_message(self, topic: str, body: bytes, properties: Properties) -> None:
        """Send a message that nobody acknowledges (QoS 0). Raises ValueError for what is no topic."""
        self._client.publish(topic, body, qos=0, properties=properties)

    async def close(self, timeout: float) -> None:
        """Send DISCONNECT, and end the connection when the broker does, at the latest `timeout` seconds later."""
        self.alive = False
        self._client.disconnect()
        await self.disconnected(timeout)
        self._close()

    def at_end_of_turn(self, call: Callable[[], None]) -> None:
        """Call at the end of this turn of the event loop."""
        self._loop.call_soon(call)

    def pause(self) -> None:
        """Read no more: TCP holds the broker back. Longer than twice the keepalive costs the connection."""
        self._paused = True
        sock = self._client.socket()
        if sock is not None:
            self._loop.remove_reader(sock.fileno())

    def resume(self) -> None:
        """Read again."""
        self._paused = False
        sock = self._client.socket()
        if sock is not None:
            self._loop.add_reader(sock.fileno(), self._read)
            self._loop.call_soon(self._read)  # what is already here will not be announced

    async def settled(self, timeout: float) -> None:
        """Return when the broker has read all that was sent (a ping goes round), is gone, or `timeout` secs later."""
        self._round_trip = self._loop.create_future()
        self._client._send_pingreq()
        either = [self._round_trip, self._disconnected]
        await asyncio.wait(either, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)

    def _ponged(self) -> MQTTErrorCode:
        if self._round_trip is not None and not self._round_trip.done():
            self._round_trip.set_result(None)
        return self._pong()

    def drop(self) -> None:
        """End the connection without DISCONNECT."""
        self.alive = False
        self._loop.call_soon(self._close)  # not here: paho may be in the middle of a callback, under its lock

    def _close(self) -> None:
        self._client._loop_rc_handle(MQTTErrorCode.MQTT_ERR_CONN_LOST)

    def _fast_publish(self) -> MQTTErrorCode:
        """Read a PUBLISH (MQTT 5, 3.3) without properties."""
        header, packet = self._client._in_packet["command"], self._client._in_packet["packet"]
        qos = header >> 1 & 3
        end = 2 + int.from_bytes(packet[:2], "big")
        body = end + 2 * qos + 1
        if qos > 1 or len(packet) < body or packet[body - 1]:
            return self._slow_publish()
        mid = int.from_bytes(packet[end : body - 1], "big")
        self._hand_over(bytes(packet[2:end]), bytes(packet[body:]), qos=qos, mid=mid, properties=None)
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _on_message(self, client: paho.Client, userdata: Any, message: paho.MQTTMessage) -> None:  # noqa: ARG002
        payload, properties = bytes(message.payload), message.properties
        self._hand_over(message._topic, payload, qos=message.qos, mid=message.mid, properties=properties)

    def _on_connect(
        self,
        client: paho.Client,
        userdata: Any,
        flags: paho.ConnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        self.accepted(session_resumed=flags.session_present, properties=properties)
        super()._on_connect(client, userdata, flags, reason_code, properties)

    def _on_publish(
        self, client: paho.Client, userdata: Any, mid: int, reason_code: ReasonCode, properties: Properties
    ) -> None:
        self.sent()
        super()._on_publish(client, userdata, mid, reason_code, properties)

    def _on_disconnect(
        self,
        client: paho.Client,
        userdata: Any,
        flags: paho.DisconnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        self.alive = False
        if flags.is_disconnect_packet_from_server:
            self.refused(reason_code)
        super()._on_disconnect(client, userdata, flags, reason_code, properties)

    def _hand_over(self, topic: bytes, payload: bytes, *, qos: int, mid: int, properties: Any) -> None:
        self._read_count += 1
        self._read_bytes += len(payload)
        if self.alive:
            self.received(topic, payload, qos=qos, mid=mid, properties=properties)

    def _buffered(self, size: int) -> bytes:
        """Stand in for paho's `recv`, which it calls three times a packet: once for many packets."""
        start = self._chunk_read
        if start == len(self._chunk):
            self._chunk, start = self._receive(max(size, _CHUNK_BYTES)), 0
        part = self._chunk[start : start + size]
        self._chunk_read = start + len(part)
        return part

    def _read(self) -> None:
        self._read_bytes = 0
        try:
            for _ in range(PACKETS_PER_WAKE):
                if self._paused:
                    return
                if self._read_bytes > BYTES_PER_WAKE:
                    break
                seen = self._read_count
                self._client.loop_read()
                if seen == self._read_count and not self._holds_more():
                    return
        except Exception as exc:  # noqa: BLE001 -- whatever a packet did to the parser, this connection is over
            mqtt_events.session_failed(exc)
            self.drop()
            return
        if self._holds_more():
            self._loop.call_soon(self._read)

    def _holds_more(self) -> bool:
        """Whether there are bytes, in our hand or in TLS's, that the socket will not announce."""
        sock = self._client.socket()
        if self._chunk_read < len(self._chunk):
            return sock is not None
        return isinstance(sock, ssl.SSLSocket) and sock.pending() > 0

    def _write(self) -> None:
        try:
            self._client.loop_write()
        except Exception as exc:  # noqa: BLE001 -- as in `_read`
            mqtt_events.session_failed(exc)
            self.drop()

    # paho calls the next two in the connecting thread as well, and the socket may be closed before the loop gets to
    # them: its number may then be another connection's.

    def _on_socket_open(self, client: paho.Client, userdata: Any, sock: Any) -> None:  # noqa: ARG002
        self._loop.call_soon_threadsafe(self._attach, sock)

    def _on_socket_register_write(self, client: paho.Client, userdata: Any, sock: Any) -> None:  # noqa: ARG002
        self._loop.call_soon_threadsafe(self._attach_writer, sock)

    def _attach(self, sock: Any) -> None:
        if not self.alive:  # given up meanwhile: a late connection would take the session over from the next one
            self._close()
        elif self._owns(sock):
            self._loop.add_reader(sock.fileno(), self._read)
            self._misc_task = self._loop.create_task(self._misc_loop(), name="mqtt.keepalive")

    def _attach_writer(self, sock: Any) -> None:
        if self._owns(sock):
            self._loop.add_writer(sock.fileno(), self._write)

    def _owns(self, sock: Any) -> bool:
        current: Any = self._client.socket()
        return current is sock


def _noticed(future: asyncio.Future[None]) -> None:
    """Take the exception: a connection that ends before anyone waits for its end is no news to asyncio."""
    if not future.cancelled():
        future.exception()
