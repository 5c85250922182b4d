"""What becomes of one message: verdicts, letters that PostgreSQL can store, answers."""

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from gateway.core.errors import BadPayload, GatewayError, Overloaded, SinkFault, SinkUnavailable, TooLarge
from gateway.domain.model import Receipt
from gateway.mqtt.handler import MAX_DETAIL, MessageHandler, ProblemAnswer
from gateway.mqtt.message import MqttMessage
from gateway.mqtt.topics import parse_topic
from tests.builders.mqtt.parts import CLEAN, ScriptedIntake, failing, receipt

TOPICS = parse_topic("devices/{device}/readings", share="")


class Wire:
    """A connection that notes what is said on it."""

    def __init__(self) -> None:
        self.replies: list[tuple[str, bytes, bytes | None]] = []

    def ack(self, mid: int) -> None:
        raise AssertionError(mid)

    def reply(self, topic: str, body: bytes, correlation: bytes | None) -> None:
        self.replies.append((topic, body, correlation))


def message(
    body: bytes = b"{}", topic: str = "devices/d1/readings", *, answers: str | None = None, wire: Wire | None = None
) -> MqttMessage:
    return MqttMessage(wire or Wire(), topic, body, qos=1, mid=1, response_topic=answers, correlation_data=b"c1")


def handler(intake: ScriptedIntake, *, max_payload_bytes: int = 1000) -> MessageHandler:
    return MessageHandler(TOPICS, intake, encode=_encode, max_payload_bytes=max_payload_bytes)


def _encode(receipt: Receipt) -> bytes:
    return b"receipt %d" % receipt.accepted


async def test_a_clean_receipt_needs_no_letter() -> None:
    verdict = await handler(ScriptedIntake()).handle(message())
    assert verdict == (None, CLEAN)


@pytest.mark.parametrize("error", [BadPayload("at byte 3"), TooLarge("101 readings; limit 100")])
async def test_what_cannot_be_read_becomes_a_letter_with_its_bytes(error: GatewayError) -> None:
    verdict = await handler(ScriptedIntake(failing([error]))).handle(message(b"\xff\x00junk"))
    assert verdict.letter == ("mqtt", error.code, error.message, "d1", b"\xff\x00junk", "devices/d1/readings")
    assert verdict.answer == ProblemAnswer(error.code, error.message)


@pytest.mark.parametrize("topic", ["devices/d1/readings", "elsewhere"])
async def test_an_empty_message_clears_a_retained_one_and_is_no_letter(topic: str) -> None:
    intake = ScriptedIntake()
    before = REGISTRY.get_sample_value("gateway_mqtt_empty_messages_total")
    verdict = await handler(intake).handle(message(b"", topic))
    assert verdict == (None, ProblemAnswer("empty", "the message has no payload: it holds no readings"))
    assert intake.begun == []
    assert before is not None
    assert REGISTRY.get_sample_value("gateway_mqtt_empty_messages_total") == before + 1


@pytest.mark.parametrize("error", [Overloaded(), SinkUnavailable(), SinkFault()])
async def test_what_may_pass_later_has_no_verdict(error: GatewayError) -> None:
    with pytest.raises(type(error)):
        await handler(ScriptedIntake(failing([error]))).handle(message())


async def test_a_mistake_of_ours_becomes_a_letter() -> None:
    verdict = await handler(ScriptedIntake(failing([KeyError("x" * 5000)]))).handle(message())
    assert verdict.letter is not None
    assert verdict.letter.code == "internal"
    assert verdict.letter.detail.startswith("KeyError('xxx")
    assert len(verdict.letter.detail) <= MAX_DETAIL


async def test_the_size_limit_is_exact_and_named() -> None:
    intake = ScriptedIntake()
    assert (await handler(intake).handle(message(bytes(1000)))).letter is None
    verdict = await handler(intake).handle(message(bytes(1001)))
    assert verdict.letter is not None
    assert verdict.letter.code == "too_large"
    assert verdict.letter.detail == "1001 bytes; limit 1000 (mqtt.max_payload_bytes)"
    assert verdict.letter.payload == bytes(1001), "kept whole"
    assert intake.begun == [bytes(1000)]


async def test_one_letter_names_all_refusals() -> None:
    refused = receipt("too_old", "not_finite", "not_finite", accepted=2)
    verdict = await handler(ScriptedIntake(failing([], refused))).handle(message())
    assert verdict.letter is not None
    assert verdict.letter.code == "too_old"
    assert verdict.letter.detail == (
        "not_finite (2), too_old (1); 2 readings are stored; first: /values/0: value 0 is bad"
    )
    assert verdict.answer is refused


async def test_what_the_database_has_kept_is_not_kept_twice() -> None:
    twice = receipt("rejected_by_database", "rejected_by_database")
    assert (await handler(ScriptedIntake(failing([], twice))).handle(message())).letter is None
    mixed = receipt("rejected_by_database", "conflict")
    letter = (await handler(ScriptedIntake(failing([], mixed))).handle(message())).letter
    assert letter is not None
    assert letter.code == "conflict"
    assert "rejected_by_database (1)" in letter.detail


async def test_cut_refusals_are_said_to_be_cut() -> None:
    long = Receipt(0, 0, 0, 900, "db", receipt("too_old").errors, errors_truncated=True)
    letter = (await handler(ScriptedIntake(failing([], long))).handle(message())).letter
    assert letter is not None
    assert "too_old (1) and more;" in letter.detail


@given(st.text(st.characters()), st.binary(min_size=1, max_size=50), st.text(st.characters(), max_size=2000))
async def test_any_topic_body_and_error_make_a_letter_that_can_be_stored(topic: str, body: bytes, error: str) -> None:
    intake = ScriptedIntake(failing([BadPayload(error)]))
    verdict = await handler(intake, max_payload_bytes=20).handle(message(body, topic))
    letter = verdict.letter
    assert letter is not None
    for text in (letter.source, letter.code, letter.detail, letter.device, letter.topic):
        assert "\0" not in (text or "")
        (text or "").encode()
    assert letter.payload == body


def test_answers_go_where_they_were_asked_for() -> None:
    wire = Wire()
    door = handler(ScriptedIntake())
    door.reply(message(answers="devices/d1/receipts", wire=wire), CLEAN)
    door.reply(message(answers="devices/d1/receipts", wire=wire), ProblemAnswer("bad_payload", "at byte 3"))
    door.reply(message(answers=None, wire=wire), CLEAN)
    assert wire.replies == [
        ("devices/d1/receipts", b"receipt 1", b"c1"),
        ("devices/d1/receipts", b'{"code":"bad_payload","detail":"at byte 3"}', b"c1"),
    ]


@pytest.mark.parametrize(
    "topic",
    [
        "devices/d2/receipts",
        "devices/d2/readings",
        "devices/d1/readings",
        "devices/d1/receipts/x",
        "devices/D1/receipts",
        "devices/d1/receipts ",
        "answers/d1",
        "",
        "$SYS/broker",
        "$share/g/x",
    ],
)
def test_nobody_is_answered_where_it_is_not_the_device_s_own(topic: str) -> None:
    wire = Wire()
    refused = partial(REGISTRY.get_sample_value, "gateway_mqtt_receipts_refused_total", {"reason": "foreign_topic"})
    before = refused() or 0
    handler(ScriptedIntake()).reply(message(answers=topic, wire=wire), CLEAN)
    assert wire.replies == []
    assert refused() == before + 1


def test_a_topic_that_names_no_device_has_no_answer() -> None:
    wire = Wire()
    handler(ScriptedIntake()).reply(message(topic="elsewhere", answers="elsewhere/receipts", wire=wire), CLEAN)
    assert wire.replies == []
