"""Event ids: what we print we read again, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.changes import LogPosition, to_position

EPOCHS = st.text("0123456789abcdefz", min_size=8, max_size=40)
NUMBERS = st.integers(0, 10**16 - 1)


@given(st.builds(LogPosition, EPOCHS, NUMBERS, NUMBERS))
def test_an_id_comes_back(position: LogPosition) -> None:
    assert to_position(position.text) == position


@given(st.text(max_size=60))
def test_any_text_is_an_id_or_not_one(text: str) -> None:
    position = to_position(text)
    assert position is None or to_position(position.text) == position


@pytest.mark.parametrize(
    "text", ["x", "", "abc-1-2", "epoch0001-1", "epoch0001--1-2", "epoch0001-1-2\n", "é" * 9 + "-1-2"]
)
def test_what_is_no_id(text: str) -> None:
    assert to_position(text) is None


def test_a_turn_continues_the_log_and_another_log_does_not() -> None:
    before = LogPosition("epoch0001z0", 10, 0)
    assert LogPosition("epoch0001z3", 10, 0).continues(before)
    assert not LogPosition("epoch0001z0", 9, 0).continues(before)
    assert not LogPosition("epoch0002z0", 99, 0).continues(before)
