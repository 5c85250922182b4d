"""One connection to a broker: messages out, acknowledgements and replies in.

Used once: a message belongs to the connection it came on, since packet ids repeat after a reconnect and acknowledging
on a later connection would confirm another message. It never acknowledges by itself and never drops a message.
"""

import socket
from collections.abc import Callable
from typing import Any

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from gateway.mqtt.address import Address
from gateway.mqtt.fast_reader import PahoClient
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


class BrokerError(Exception):
    """The broker cannot be reached, or refuses what is needed."""


class BrokerConnection(PahoClient):
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

    async def open(self, subscription: str) -> None:
        """Return when the broker has granted QoS 1 for the subscription."""
        try:
            await self.connect()
        except aiomqtt.MqttError as exc:
            raise BrokerError(f"connect: {exc}") from exc
        # Retained messages come once, not with every reconnect: one without a timestamp would be stored each time.
        options = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_SEND_IF_NEW_SUB)
        try:
            (granted,) = await self.subscribe(subscription, options=options)
        except aiomqtt.MqttError as exc:
            raise BrokerError(f"subscribe: {exc}") from exc
        code = granted.value if isinstance(granted, ReasonCode) else granted
        if code >= _FAILED:
            raise BrokerError(f"subscribe: the broker refuses {subscription!r}: {granted}")
        if code == 0:
            raise BrokerError(f"subscribe: the broker grants only QoS 0 for {subscription!r}")

    async def ended(self) -> str:
        """Return why, when the connection is over."""
        await self.disconnected()
        return self._why

    async def farewell(self) -> None:
        """Send what is acknowledged, and DISCONNECT when the broker has read it; it keeps the session.

        Closing at once would lose acknowledgements: bytes from the broker that nobody reads any more make TCP reset the
        connection, and the broker may find that out before it comes to the rest of what we sent.
        """
        self._flush()
        self.resume()
        await self.settled(ANSWER_SECS)
        await self.close(ANSWER_SECS)

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
            self.at_end_of_turn(self._flush)
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
            mqtt_events.reply_refused("too_large", "larger than the broker takes")
        elif self._unsent_replies >= MAX_UNSENT_REPLIES:
            mqtt_events.reply_refused("too_many", "the broker does not keep up")
        else:
            self._publish(topic, body, properties)

    def _publish(self, topic: str, body: bytes, properties: Properties) -> None:
        try:
            self.write_message(topic, body, properties)
        except ValueError:
            mqtt_events.reply_refused("bad_topic", "not a topic to publish on")
        else:
            self._unsent_replies += 1

    def _flush(self) -> None:
        packets, self._unacknowledged = bytes(self._unacknowledged), bytearray()
        if self.alive and packets:
            self.write_packet(_PUBACK, packets)

    def accepted(self, *, session_resumed: bool, properties: Properties | None) -> None:
        """Note what the broker says when it takes the connection."""
        self.session_resumed = session_resumed
        self._max_packet = getattr(properties, "MaximumPacketSize", None)

    def sent(self) -> None:
        """Note that a reply is on its way."""
        self._unsent_replies -= 1

    def refused(self, reason: ReasonCode) -> None:
        """Note why the broker ends the connection."""
        taken = f"; mqtt.client_id {self.identifier!r} must be one gateway's only"
        self._why = f"the broker disconnects: {reason}{taken if reason.value == _TAKEN_OVER else ''}"


def _properties(packet: int) -> Properties:
    return Properties(packet)  # type: ignore[no-untyped-call]
