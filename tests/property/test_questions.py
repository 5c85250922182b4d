"""Query strings of any kind are read or refused, and a cursor continues its own question only."""

import re
from contextlib import suppress
from typing import Annotated, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from gateway.core import timestamps
from gateway.core.errors import BadRequest
from gateway.domain import dead_letters
from gateway.domain.principal import Role
from gateway.web.http.query import read_query, to_moment, to_page, to_seconds

NOW_US = 1_732_277_000_123_000
COUNTS = st.integers(1, 1000)


class Parameters(msgspec.Struct, forbid_unknown_fields=True, rename={"start": "from"}):
    """One of each kind."""

    start: str = "-1h"
    some: Annotated[list[str], Meta(extra={"most": 3})] = []
    every: list[str] = []
    switch: bool | None = None
    word: Literal["a", "b"] | None = None
    role: Role | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 5


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
        since = dead_letters.to_dead_letter_filter(since=text).since
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
    page = to_page(limit, None, about={"device": "d1"})
    cursor = page.cursor(last)
    assert cursor is not None
    following = to_page(5, cursor, about={"device": "d1"})
    assert (page.limit, page.after, following.limit, following.after) == (limit, None, 5, list(last))
    with pytest.raises(BadRequest, match="another question"):
        to_page(5, cursor, about={"device": "d2"})


@given(st.text(max_size=60))
def test_a_foreign_cursor_is_refused(text: str) -> None:
    with pytest.raises(BadRequest, match="cursor="):
        to_page(5, text, about=None)


def test_each_parameter_is_read_as_its_type_says() -> None:
    given = {"from": ["-5m"], "some": ["a,b", "c", "a"], "every": ["a,b", "c"], "switch": ["false"], "word": ["b"]}
    assert read_query(Parameters, {**given, "role": ["admin"], "limit": ["7"]}) == Parameters(
        start="-5m", some=["a", "b", "c"], every=["a,b", "c"], switch=False, word="b", role=Role.ADMIN, limit=7
    )
    assert read_query(Parameters, {}) == Parameters()


def test_what_nobody_asked_for_is_refused_and_what_is_known_is_named() -> None:
    with pytest.raises(BadRequest, match=r"'limt'; known here: from, some, every, switch, word, role, limit"):
        read_query(Parameters, {"limit": ["5"], "limt": ["6"]})


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("from", ["a", "b"], "from= stands 2 times; send it once"),
        ("some", ["a,,b"], "some= names nothing"),
        ("some", [""], "some= names nothing"),
        ("some", ["a", ""], "some= names nothing"),
        ("some", ["a,b", "c,d"], "some= names 4; at most 3 in one call"),
        ("switch", ["yes"], "switch='yes' is not true or false"),
        ("word", ["c"], "word='c' is none of a, b"),
        ("role", ["king"], "role='king' is none of device, ingest, reader, admin"),
        ("limit", ["0"], "limit='0' is not a whole number from 1 to 1000"),
        ("limit", ["1001"], "limit='1001' is not a whole number from 1 to 1000"),
        ("limit", ["1", "2"], "limit= stands 2 times; send it once"),
    ],
)
def test_what_cannot_be_is_refused(name: str, values: list[str], words: str) -> None:
    with pytest.raises(BadRequest, match=re.escape(words)) as caught:
        read_query(Parameters, {name: values})
    assert caught.value.details == {"parameter": name}


@given(st.dictionaries(st.sampled_from([*Parameters.__struct_encode_fields__, "x"]), st.lists(st.text(), min_size=1)))
def test_any_query_string_is_read_or_refused(given_parameters: dict[str, list[str]]) -> None:
    read = None
    with suppress(BadRequest):
        read = read_query(Parameters, given_parameters)
    assert read is None or ("x" not in given_parameters and 1 <= read.limit <= 1000)
