import base64
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import BadRequest
from gateway.domain.dead_letters import (
    MAX_ID,
    DeadLetterFilter,
    StoredDeadLetter,
    to_dead_letter_filter,
    to_item,
    to_number,
    to_readable,
)

NOON = datetime(2024, 11, 22, 12, tzinfo=UTC)


def letter(payload: bytes | None) -> StoredDeadLetter:
    return StoredDeadLetter(
        id=7,
        source="mqtt",
        code="too_old",
        detail="",
        device=None,
        topic="t",
        first_at=NOON,
        last_at=NOON,
        count=1,
        replayed_at=None,
        size=3,
        payload=payload,
    )


@given(st.binary())
def test_no_byte_is_lost(payload: bytes) -> None:
    shown = to_readable(payload)
    assert payload == (shown.text.encode() if shown.encoding == "utf-8" else base64.b64decode(shown.text))


@given(st.text())
def test_text_is_shown_as_it_is(text: str) -> None:
    payload = text.encode("utf-8", "replace")
    assert to_readable(payload) == (payload.decode(), "utf-8")


def test_what_was_left_out_is_neither_text_nor_bytes() -> None:
    left_out, empty = to_item(letter(None)), to_item(letter(b""))
    assert (left_out.payload, left_out.encoding) == (None, None)
    assert (empty.payload, empty.encoding) == ("", "utf-8")


def test_a_question_is_read() -> None:
    asked = to_dead_letter_filter(
        code="too_old", device="ä b", source="mqtt", since="2024-11-22T13:00:00+01:00", replayed="false"
    )
    assert asked == DeadLetterFilter(code="too_old", device="ä b", source="mqtt", since=NOON, replayed=False)
    assert asked.since is not None
    assert asked.since.astimezone(timezone(timedelta(hours=1))).hour == 13
    assert not asked.everything
    assert to_dead_letter_filter().everything


@pytest.mark.parametrize(
    "question",
    [
        {"code": ""},
        {"code": "Too_Old"},
        {"code": "x" * 65},
        {"source": "mqtt\n"},
        {"device": ""},
        {"device": "a\0"},
        {"device": "\ud800"},
        {"device": "x" * 1001},
        {"since": ""},
        {"since": "2024-11-22"},
        {"since": "2024-11-22T12:00:00"},
        {"since": "1732276800"},
        {"replayed": "yes"},
        {"replayed": ""},
    ],
)
def test_a_question_nothing_can_answer_is_refused(question: dict[str, str]) -> None:
    with pytest.raises(BadRequest) as refused:
        to_dead_letter_filter(**question)
    assert refused.value.details == {"parameter": next(iter(question))}


def test_numbers() -> None:
    assert to_number("1", parameter="limit", highest=1) == 1
    assert to_number(str(MAX_ID), parameter="cursor") == MAX_ID
    for text in ("", "0", "-1", "1.0", " 1", "1_0", "٣", str(MAX_ID + 1), "9" * 5000):
        with pytest.raises(BadRequest, match="limit"):
            to_number(text, parameter="limit")
