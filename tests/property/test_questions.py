"""Query strings of any kind are read or refused, and a cursor continues its own question only."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core import timestamps
from gateway.core.errors import BadRequest
from gateway.domain import dead_letters
from gateway.web.http.query import Question, to_moment, to_seconds

NOW_US = 1_732_277_000_123_000
COUNTS = st.integers(1, 1000)


class Asked:
    """What `Question` needs of a request."""

    def __init__(self, **given: list[str]) -> None:
        self._given = given

    def get_args(self, *, keep_blank_values: bool) -> dict[str, list[str]]:
        assert keep_blank_values
        return self._given


def question(**given: list[str]) -> Question:
    asked: Any = Asked(**given)
    return Question(asked)


@given(st.text(max_size=40))
def test_any_text_is_a_moment_or_refused(text: str) -> None:
    moment = None
    with suppress(BadRequest):
        moment = to_moment(text, parameter="from", now_us=NOW_US)
    assert moment is None or 0 <= moment <= 253_402_300_799_999_999


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("now", NOW_US),
        ("-15m", NOW_US - 900_000_000),
        ("1732277000", 1_732_277_000_000_000),
        ("1732277000.5", 1_732_277_000_500_000),
        ("1732277000123", NOW_US),
        ("2024-11-22T12:03:20.123Z", NOW_US),
        ("2024-11-22T13:03:20.123+01:00", NOW_US),
        ("2024-11-22T13:03:20.123 01:00", NOW_US),
        ("2024-11-22 12:03:20.123Z", NOW_US),
        ("2024-11-22 13:03:20.123 01:00", NOW_US),
        ("2024-11-22 12:03:20.123+00:00", NOW_US),
        ("2024-11-21T23:59:60Z", 1_732_233_600_000_000),
    ],
)
def test_moments(text: str, moment: int) -> None:
    assert to_moment(text, parameter="from", now_us=NOW_US) == moment
    if "T" in text or " " in text:
        since = dead_letters.to_wanted(since=text).since
        assert since is not None
        assert timestamps.to_us(since) == moment


@given(st.text(max_size=12))
def test_any_text_is_a_duration_or_refused(text: str) -> None:
    seconds = None
    with suppress(BadRequest):
        seconds = to_seconds(text, parameter="every")
    assert seconds is None or seconds > 0


@given(st.tuples(COUNTS, st.text(max_size=128)), COUNTS)
def test_a_cursor_goes_round(last: tuple[int, str], limit: int) -> None:
    page = question(limit=[str(limit)]).page(default=5, most=1000, about={"device": "d1"})
    cursor = page.cursor(last)
    assert cursor is not None
    following = question(cursor=[cursor]).page(default=5, most=1000, about={"device": "d1"})
    assert (page.limit, page.after, following.limit, following.after) == (limit, None, 5, list(last))
    with pytest.raises(BadRequest, match="another question"):
        question(cursor=[cursor]).page(default=5, most=1000, about={"device": "d2"})


@given(st.text(max_size=60))
def test_a_foreign_cursor_is_refused(text: str) -> None:
    with pytest.raises(BadRequest, match="cursor="):
        question(cursor=[text]).page(default=5, most=1000, about=None)


def test_what_nobody_asked_for_is_refused_and_what_is_known_is_named() -> None:
    asked = question(limit=["5"], limt=["6"])
    asked.page(default=5, most=10, about=None)
    with pytest.raises(BadRequest, match=r"'limt'; known here: limit, cursor"):
        asked.finish()


@pytest.mark.parametrize("values", [["a,,b"], [""], ["a", ""]])
def test_empty_names_are_refused(values: list[str]) -> None:
    with pytest.raises(BadRequest, match="names nothing"):
        question(metric=values).names("metric", most=10)


def test_names_come_by_comma_and_repeated() -> None:
    assert question(metric=["a,b", "c", "a"]).names("metric", most=3) == ["a", "b", "c"]
    with pytest.raises(BadRequest, match="at most 2"):
        question(metric=["a,b", "c"]).names("metric", most=2)
