"""The message handler: a message → safe as it is, or once a dead letter is kept. Never acknowledges, never retries.

The broker has checked who may publish on which topic (its ACL); the gateway trusts the topic and writes any device.
"""

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from gateway.core.errors import GatewayError, TooLarge
from gateway.domain.contracts.ingest import Charge, Intake, PendingBody
from gateway.domain.dead_letters import DeadLetter
from gateway.domain.model import Receipt
from gateway.domain.principal import Principal, Role
from gateway.domain.reasons import Reason
from gateway.mqtt.message import MqttMessage
from gateway.mqtt.topics import Topics
from gateway.telemetry import mqtt_events

TRUSTED = Principal(Role.INGEST)
SOURCE = "mqtt"
BAD_TOPIC = "bad_topic"
INTERNAL = GatewayError.code
EMPTY = "empty"
MAX_DETAIL = 1000
"""Characters of a dead letter's detail."""


class ProblemAnswer(msgspec.Struct, frozen=True):
    """What a device is told when its message could not be read at all."""

    code: str
    detail: str


class Verdict(NamedTuple):
    """What must be kept before the message is acknowledged, and what the device may be told."""

    letter: DeadLetter | None
    answer: Receipt | ProblemAnswer


class MessageHandler:
    """Tries each message once."""

    def __init__(
        self, topics: Topics, intake: Intake, *, encode: Callable[[Receipt], bytes], max_payload_bytes: int
    ) -> None:
        self._topics = topics
        self._intake = intake
        self._encode = encode
        self._max_payload_bytes = max_payload_bytes

    def device_of(self, message: MqttMessage) -> str | None:
        """Return the device that the message's topic names, if it names one."""
        return self._topics.device_of(message.topic)

    def at_once(self, message: MqttMessage) -> PendingBody | None:
        """Take in a message that needs no waiting; None: `handle` it. Never raises."""
        device = self.device_of(message)
        if device is None or len(message.payload) > self._max_payload_bytes:
            return None
        try:
            return self._intake.at_once(message.payload, principal=TRUSTED, device=device, source=SOURCE)
        except Exception:  # noqa: BLE001 -- `handle` meets the same mistake; here it would cost the connection, for ever
            return None

    async def handle(
        self, message: MqttMessage, charge: Charge | None = None, *, pending: PendingBody | None = None
    ) -> Verdict:
        """Return the verdict. Raises only a GatewayError with `retry_after`: nothing can be said yet.

        The charge may make it wait; what cannot be read is charged as well, as a message without readings. A
        message that is `pending` is not taken in again.
        """
        verdict = await self._try(message, charge, pending)
        if charge is not None and isinstance(verdict.answer, ProblemAnswer):
            await charge(0)
        return verdict

    async def _try(self, message: MqttMessage, charge: Charge | None, pending: PendingBody | None) -> Verdict:
        if not message.payload:  # published to clear a retained message (MQTT 5, 3.3.1.3), and nothing is lost with it
            mqtt_events.empty(message.topic)
            return Verdict(None, ProblemAnswer(EMPTY, "the message has no payload: it holds no readings"))
        device = self.device_of(message)
        if device is None:
            return _unreadable(message, None, BAD_TOPIC, "the topic does not fit mqtt.topic, or names no device")
        size, limit = len(message.payload), self._max_payload_bytes
        if size > limit:
            return _unreadable(message, device, TooLarge.code, f"{size} bytes; limit {limit} (mqtt.max_payload_bytes)")
        try:
            receipt = await self._take(message, device, charge) if pending is None else pending.receipt()
        except GatewayError as exc:
            if exc.retry_after is not None:
                raise
            return _unreadable(message, device, exc.code, exc.message)
        except Exception as exc:  # noqa: BLE001 -- one message must not stop the rest
            mqtt_events.message_failed(message.topic, exc)
            return _unreadable(message, device, INTERNAL, repr(exc))
        return Verdict(_letter_of(message, device, receipt) if receipt.errors else None, receipt)

    async def _take(self, message: MqttMessage, device: str, charge: Charge | None) -> Receipt:
        return await self._intake.take(message.payload, principal=TRUSTED, device=device, source=SOURCE, charge=charge)

    def reply(self, message: MqttMessage, answer: Receipt | ProblemAnswer) -> None:
        """Publish the answer if the message asks for one (MQTT 5, 4.10); at most once, never waiting.

        Only where the answers to its own device belong: anywhere else the gateway may write what the device may not,
        such as a receipt for another.
        """
        topic = message.response_topic
        if topic is None:
            return
        device = self.device_of(message)
        if device is None or topic != self._topics.receipts_of(device):
            mqtt_events.reply_refused("foreign_topic", "the response topic is not the device's own (mqtt.receipts)")
            return
        message.reply(self._encode(answer) if isinstance(answer, Receipt) else msgspec.json.encode(answer))


def _unreadable(message: MqttMessage, device: str | None, code: str, detail: str) -> Verdict:
    return Verdict(_letter(message, device, code, detail), ProblemAnswer(code, _text(detail)))


def _letter_of(message: MqttMessage, device: str, receipt: Receipt) -> DeadLetter | None:
    """Return one letter for all that was refused, unless the database has kept every one of them already."""
    readings: Counter[str] = Counter()
    for refusal in receipt.errors:
        readings[refusal.code] += refusal.readings
    first = next((one for one in receipt.errors if one.code != Reason.REJECTED_BY_DATABASE), None)
    if first is None:
        return None
    codes = ", ".join(f"{code} ({n})" for code, n in readings.most_common())
    more = " and more" if receipt.errors_truncated else ""
    stored = f"{receipt.accepted} readings are stored"
    return _letter(message, device, first.code, f"{codes}{more}; {stored}; first: {first.path}: {first.message}")


def _letter(message: MqttMessage, device: str | None, code: str, detail: str) -> DeadLetter:
    name = None if device is None else _text(device)
    return DeadLetter(SOURCE, code, _text(detail), name, message.payload, _text(message.topic))


def _text(text: str) -> str:
    """Return what PostgreSQL can store: a letter that cannot be kept would be tried for ever."""
    return text[:MAX_DETAIL].replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
