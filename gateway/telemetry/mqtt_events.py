"""Events of MQTT, one function each, as in `events`: it counts, and says what a person should know."""

from gateway.telemetry import events, prometheus
from gateway.telemetry.sanitize import shown


def connected(address: str, *, session_resumed: bool) -> None:
    """Say that the subscription stands. Without a resumed session the broker kept nothing while we were away."""
    prometheus.mqtt_connected.set(1)
    events.say("info", "mqtt_connected", "MQTT connected.", address=address, session_resumed=session_resumed)


def lost(address: str, error: str) -> None:
    """Count and say that a connection that stood is gone."""
    prometheus.mqtt_connected.set(0)
    prometheus.mqtt_losses.inc()
    events.say("warning", "mqtt_lost", "MQTT connection lost; connecting again.", address=address, error=error)


def unreachable(address: str, error: str) -> None:
    """Say why no subscription can be had; call it when the reason changes."""
    events.say("warning", "mqtt_unreachable", "MQTT broker cannot be used; trying again.", address=address, error=error)


def session_failed(exc: Exception) -> None:
    """Say that the session met a mistake of ours or of its library; it connects again."""
    events.say("error", "mqtt_session_failed", "MQTT session failed.", exc_info=exc)


def closed() -> None:
    """Note that the connection was closed because we stop."""
    prometheus.mqtt_connected.set(0)
    events.say("info", "mqtt_closed", "MQTT disconnected.")


def taken(messages: int, *, in_hand: int) -> None:
    """Count messages received, and set how many are not yet acknowledged."""
    prometheus.mqtt_messages.inc(messages)
    prometheus.mqtt_unacknowledged.set(in_hand)


def paused(messages: int, size: int) -> None:
    """Say that as much is in hand as can be held, and the broker sends on: it is read again when half is stored."""
    events.say(
        "warning",
        "mqtt_paused",
        "MQTT messages come faster than they are stored, beyond the window; not reading for now.",
        messages=messages,
        bytes=size,
        setting="mqtt.receive_max",
        goes_on=True,
    )


def qos0_dropped(messages: int, *, why: str) -> None:
    """Count and say that QoS 0 messages are gone: they have no acknowledgement, so nobody sends them again."""
    prometheus.mqtt_qos0_dropped.inc(messages)
    events.say("warning", "mqtt_qos0_dropped", "QoS 0 messages dropped.", messages=messages, why=why, goes_on=True)


def deferred(code: str, error: str) -> None:
    """Say that a message waits, unacknowledged, for something that is away."""
    events.say(
        "warning", f"mqtt_deferred.{code}", "MQTT messages wait unacknowledged.", code=code, error=error, goes_on=True
    )


def message_failed(topic: str, exc: Exception) -> None:
    """Say that one message met a mistake of ours; it becomes a dead letter."""
    events.say("error", "mqtt_message_failed", "A message failed.", topic=shown(topic), exc_info=exc)


def empty(topic: str) -> None:
    """Count a message without a payload: whoever publishes it clears a retained one, and says nothing."""
    prometheus.mqtt_empty.inc()
    events.say("debug", "mqtt_empty", "MQTT message without a payload; nothing to store.", topic=topic)


def reply_refused(reason: str, why: str) -> None:
    """Count and say that a receipt asked for by MQTT 5 Response Topic was not sent; the message is unaffected."""
    prometheus.mqtt_receipts_refused[(reason,)].inc()
    events.say("warning", "mqtt_reply_refused", "Receipt not published.", why=why, apart=reason, goes_on=True)


def left_behind(messages: int) -> None:
    """Say how many messages were still in hand when the time to stop ran out; the broker sends them again."""
    events.say(
        "warning", "mqtt_left_behind", "Stopped with messages unacknowledged; they come again.", messages=messages
    )
