"""One connection to a broker: messages out, acknowledgements and replies in. All that knows the client library.

Used once: a message belongs to the connection it came on, since packet ids repeat after a reconnect and acknowledging
on a later connection would confirm another message. It never acknowledges by itself and never drops a message.

aiomqtt 2 acknowledges on receipt and has no public way not to (empicano/aiomqtt#345), hence what is private here.
"""
# ruff: noqa: SLF001 -- private in aiomqtt and paho, which are pinned below their next major version

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Any

import aiomqtt
from paho.mqtt import client as paho
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from gateway.mqtt.address import Address
from gateway.mqtt.message import Message
from gateway.telemetry import mqtt_events

KEEPALIVE_SECS = 15
"""A hung connection is noticed after twice this."""
ANSWER_SECS = 5.0
"""How long the broker may take to answer CONNECT, SUBSCRIBE and DISCONNECT."""
PACKETS_PER_WAKE = 64
"""Packets read per wake-up before others get their turn."""
MAX_UNSENT_REPLIES = 256
_CHUNK_BYTES = 2**16
_PACKET_OVERHEAD = 32
"""Bytes of a PUBLISH besides topic, correlation data and payload, generously."""
_PUBACK = 0x40
_TAKEN_OVER = 0x8E
"""Session taken over: another connection came with the same client id."""
_FAILED = 0x80
"""Reason codes from here on are errors (MQTT 5, 2.4)."""


class LinkError(Exception):
    """The broker cannot be reached, or refuses what is needed."""


class Link(aiomqtt.Client):
    """One connection, used once: acknowledges only when told to, and drops nothing."""

    def __init__(
        self,
        address: Address,
        deliver: Callable[[Message], None],
        *,
        client_id: str,
        receive_max: int,
        session_expiry_secs: int,
    ) -> None:
        properties = _properties(PacketTypes.CONNECT)
        properties.ReceiveMaximum = receive_max
        properties.SessionExpiryInterval = session_expiry_secs
        super().__init__(
            address.host,
            address.port,
            username=address.user,
            password=address.password,
            tls_context=address.tls,
            identifier=client_id,
            protocol=aiomqtt.ProtocolVersion.V5,
            clean_start=False,
            properties=properties,
            keepalive=KEEPALIVE_SECS,
            timeout=ANSWER_SECS,
            socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
        )
        self.alive = True
        self.session_resumed = False
        self._why = "the connection broke"
        self._deliver = deliver
        self._paused = False
        self._unacknowledged = bytearray()
        self._unsent_replies = 0
        self._max_packet: int | None = None
        self._read_count = 0
        self._disconnected.add_done_callback(_noticed)
        self._client.manual_ack_set(True)
        self._client.disable_logger()
        self._slow_publish = self._client._handle_publish
        self._client._handle_publish = self._fast_publish  # type: ignore[method-assign]
        self._chunk = b""
        self._chunk_read = 0
        self._receive = self._client._sock_recv
        self._client._sock_recv = self._buffered  # type: ignore[method-assign]

    async def open(self, subscription: str) -> None:
        """Return when the broker has granted QoS 1 for the subscription."""
        try:
            await self.__aenter__()
        except aiomqtt.MqttError as exc:
            raise LinkError(f"connect: {exc}") from exc
        self._disconnected.add_done_callback(_noticed)  # it may be a new one
        # Retained messages come once, not with every reconnect: one without a timestamp would be stored each time.
        options = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_SEND_IF_NEW_SUB)
        try:
            (granted,) = await self.subscribe(subscription, options=options)
        except aiomqtt.MqttError as exc:
            raise LinkError(f"subscribe: {exc}") from exc
        code = granted.value if isinstance(granted, ReasonCode) else granted
        if code >= _FAILED:
            raise LinkError(f"subscribe: the broker refuses {subscription!r}: {granted}")
        if code == 0:
            raise LinkError(f"subscribe: the broker grants only QoS 0 for {subscription!r}")

    async def ended(self) -> str:
        """Return why, when the connection is over."""
        await asyncio.wait([self._disconnected])
        return self._why

    async def farewell(self) -> None:
        """Send what is acknowledged, then DISCONNECT; the broker keeps the session."""
        self._flush()
        self.alive = False
        self._client.disconnect()
        await asyncio.wait([self._disconnected], timeout=ANSWER_SECS)
        self._close()

    def drop(self) -> None:
        """End the connection without DISCONNECT. What was not acknowledged comes again on the next one."""
        self.alive = False
        self._loop.call_soon(self._close)  # not here: paho may be in the middle of a callback, under its lock

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

    def _close(self) -> None:
        self._client._loop_rc_handle(MQTTErrorCode.MQTT_ERR_CONN_LOST)

    def ack(self, mid: int) -> None:
        """Acknowledge at the end of this turn of the loop: one write for all that became durable together."""
        if not self.alive:
            return
        if not self._unacknowledged:
            self._loop.call_soon(self._flush)
        self._unacknowledged += bytes((_PUBACK, 2, mid >> 8, mid & 0xFF))

    def reply(self, topic: str, body: bytes, correlation: bytes | None) -> None:
        """Publish at most once, if it fits and the broker keeps up."""
        if not self.alive:
            return
        properties = _properties(PacketTypes.PUBLISH)
        if correlation is not None:
            properties.CorrelationData = correlation
        size = len(topic.encode()) + len(body) + len(correlation or b"") + _PACKET_OVERHEAD
        if self._max_packet is not None and size > self._max_packet:
            mqtt_events.reply_refused("larger than the broker takes")
        elif self._unsent_replies >= MAX_UNSENT_REPLIES:
            mqtt_events.reply_refused("the broker does not keep up")
        else:
            self._publish(topic, body, properties)

    def _publish(self, topic: str, body: bytes, properties: Properties) -> None:
        try:
            self._client.publish(topic, body, qos=0, properties=properties)
        except ValueError:
            mqtt_events.reply_refused("not a topic to publish on")
        else:
            self._unsent_replies += 1

    def _flush(self) -> None:
        packets, self._unacknowledged = bytes(self._unacknowledged), bytearray()
        if self.alive and packets:
            self._client._packet_queue(_PUBACK, packets, 0, 1)

    def _fast_publish(self) -> MQTTErrorCode:
        """Read a PUBLISH (MQTT 5, 3.3) without properties; without this way, receiving costs 30 µs instead of 14."""
        header, packet = self._client._in_packet["command"], self._client._in_packet["packet"]
        qos = header >> 1 & 3
        end = 2 + int.from_bytes(packet[:2], "big")
        body = end + 2 * qos + 1
        if qos > 1 or len(packet) < body or packet[body - 1]:
            return self._slow_publish()
        mid = int.from_bytes(packet[end : body - 1], "big")
        topic = packet[2:end].decode("utf-8", "replace")
        self._hand_over(Message(self, topic, bytes(packet[body:]), qos=qos, mid=mid))
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _on_message(self, client: paho.Client, userdata: Any, message: paho.MQTTMessage) -> None:  # noqa: ARG002
        properties = message.properties
        self._hand_over(
            Message(
                self,
                message._topic.decode("utf-8", "replace"),
                bytes(message.payload),
                qos=message.qos,
                mid=message.mid,
                response_topic=getattr(properties, "ResponseTopic", None),
                correlation_data=getattr(properties, "CorrelationData", None),
            )
        )

    def _hand_over(self, message: Message) -> None:
        self._read_count += 1
        if self.alive:
            self._deliver(message)

    def _on_connect(
        self,
        client: paho.Client,
        userdata: Any,
        flags: paho.ConnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        self.session_resumed = flags.session_present
        self._max_packet = getattr(properties, "MaximumPacketSize", None)
        super()._on_connect(client, userdata, flags, reason_code, properties)

    def _on_publish(
        self, client: paho.Client, userdata: Any, mid: int, reason_code: ReasonCode, properties: Properties
    ) -> None:
        self._unsent_replies -= 1
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
            taken = f"; mqtt.client_id {self.identifier!r} must be one gateway's only"
            self._why = f"the broker disconnects: {reason_code}{taken if reason_code.value == _TAKEN_OVER else ''}"
        super()._on_disconnect(client, userdata, flags, reason_code, properties)

    # paho calls these two in the connecting thread as well, and the socket may be closed before the loop gets to them:
    # its number may then be another connection's.

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

    def _write(self) -> None:
        try:
            self._client.loop_write()
        except Exception as exc:  # noqa: BLE001 -- as in `_read`
            mqtt_events.session_failed(exc)
            self.drop()

    def _read(self) -> None:
        try:
            for _ in range(PACKETS_PER_WAKE):
                if self._paused:
                    return
                seen = self._read_count
                self._client.loop_read()
                if seen == self._read_count and not self._holds_more():
                    return
        except Exception as exc:  # noqa: BLE001 -- whatever a packet did to the parser, this connection is over
            mqtt_events.session_failed(exc)
            self.drop()
        if self.alive and self._holds_more():
            self._loop.call_soon(self._read)

    def _buffered(self, size: int) -> bytes:
        """Stand in for paho's `recv`, which it calls three times a packet: once for many packets."""
        start = self._chunk_read
        if start == len(self._chunk):
            self._chunk, start = self._receive(max(size, _CHUNK_BYTES)), 0
        part = self._chunk[start : start + size]
        self._chunk_read = start + len(part)
        return part

    def _holds_more(self) -> bool:
        """Whether there are bytes, in our hand or in TLS's, that the socket will not announce."""
        sock = self._client.socket()
        if self._chunk_read < len(self._chunk):
            return sock is not None
        return isinstance(sock, ssl.SSLSocket) and sock.pending() > 0


def _properties(packet: int) -> Properties:
    return Properties(packet)  # type: ignore[no-untyped-call]


def _noticed(future: asyncio.Future[None]) -> None:
    """Take the exception: a connection that ends before anyone waits for its end is no news to asyncio."""
    if not future.cancelled():
        future.exception()
