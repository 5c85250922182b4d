"""One connection to a broker: messages out, acknowledgements and replies in. With `pump`, all that knows the library.

Used once: a message belongs to the connection it came on, since packet ids repeat after a reconnect and acknowledging
on a later connection would confirm another message. It never acknowledges by itself and never drops a message.

aiomqtt 2 acknowledges on receipt and has no public way not to (empicano/aiomqtt#345), hence what is private here.
"""
# ruff: noqa: SLF001 -- private in aiomqtt and paho, which are pinned below their next major version

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import aiomqtt
from paho.mqtt import client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from gateway.mqtt.address import Address
from gateway.mqtt.fast_reader import Pump
from gateway.mqtt.message import MqttMessage
from gateway.telemetry import mqtt_events

KEEPALIVE_SECS = 15
"""A hung connection is noticed after twice this."""
ANSWER_SECS = 5.0
"""How long the broker may take to answer CONNECT, SUBSCRIBE and DISCONNECT."""
MAX_UNSENT_REPLIES = 256
_PACKET_OVERHEAD = 32
"""Bytes of a PUBLISH besides topic, correlation data and payload, generously."""
_PUBACK = 0x40
_TAKEN_OVER = 0x8E
"""Session taken over: another connection came with the same client id."""
_FAILED = 0x80
"""Reason codes from here on are errors (MQTT 5, 2.4)."""


class LinkError(Exception):
    """The broker cannot be reached, or refuses what is needed."""


class Link(Pump):
    """One connection, used once: acknowledges only when told to, and drops nothing."""

    def __init__(
        self,
        address: Address,
        deliver: Callable[[MqttMessage], None],
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
        self.session_resumed = False
        self._why = "the connection broke"
        self._deliver = deliver
        self._unacknowledged = bytearray()
        self._unsent_replies = 0
        self._max_packet: int | None = None
        self._disconnected.add_done_callback(_noticed)
        self._client.manual_ack_set(True)

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
        """Send what is acknowledged, and DISCONNECT when the broker has read it; it keeps the session.

        Closing at once would lose acknowledgements: bytes from the broker that nobody reads any more make TCP reset the
        connection, and the broker may find that out before it comes to the rest of what we sent.
        """
        self._flush()
        self.resume()
        await self.settled(ANSWER_SECS)
        self.alive = False
        self._client.disconnect()
        await asyncio.wait([self._disconnected], timeout=ANSWER_SECS)
        self._close()

    def received(self, topic: bytes, payload: bytes, *, qos: int, mid: int, properties: Any) -> None:
        """Hand the message over."""
        message = MqttMessage(self, topic.decode("utf-8", "replace"), payload, qos=qos, mid=mid)
        if properties is not None:
            message.response_topic = getattr(properties, "ResponseTopic", None)
            message.correlation_data = getattr(properties, "CorrelationData", None)
        self._deliver(message)

    def ack(self, mid: int) -> None:
        """Acknowledge at the end of this turn of the loop: one write for all that became durable together."""
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


def _properties(packet: int) -> Properties:
    return Properties(packet)  # type: ignore[no-untyped-call]


def _noticed(future: asyncio.Future[None]) -> None:
    """Take the exception: a connection that ends before anyone waits for its end is no news to asyncio."""
    if not future.cancelled():
        future.exception()
