"""A PUBLISH, tied to the connection it came on. Holds; never decides, never waits."""

from typing import Protocol


class Wire(Protocol):
    """A connection, as a message sees it. Both calls are harmless once it is gone."""

    def ack(self, mid: int) -> None:
        """Acknowledge this packet id."""
        ...

    def reply(self, topic: str, body: bytes, correlation: bytes | None) -> None:
        """Publish at most once, without waiting."""
        ...


class MqttMessage:
    """One PUBLISH. Acknowledging and replying are harmless once its connection is gone."""

    __slots__ = ("_link", "_mid", "correlation_data", "payload", "qos", "response_topic", "topic")

    def __init__(
        self,
        link: Wire,
        topic: str,
        payload: bytes,
        *,
        qos: int,
        mid: int,
        response_topic: str | None = None,
        correlation_data: bytes | None = None,
    ) -> None:
        self._link = link
        self._mid = mid
        self.topic = topic
        self.payload = payload
        self.qos = qos
        self.response_topic = response_topic
        self.correlation_data = correlation_data

    def ack(self) -> None:
        """Tell the broker to forget this message. Call it in arrival order [MQTT-4.6.0-2]."""
        if self.qos:
            self._link.ack(self._mid)

    def reply(self, body: bytes) -> None:
        """Publish to the response topic, QoS 0, with the correlation data (MQTT 5, 4.10); never waits."""
        if self.response_topic is not None:
            self._link.reply(self.response_topic, body, self.correlation_data)
