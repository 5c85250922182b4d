"""Microseconds and what others take: exact both ways, over the whole range that a database can hold."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.timestamps import EPOCH, parse_moment, to_datetime, to_rfc3339, to_us

FIRST, LAST = to_us(datetime(1, 1, 1, tzinfo=UTC)), to_us(datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC))
TIMES = st.integers(FIRST, LAST)


@given(TIMES)
def test_there_and_back(time_us: int) -> None:
    assert to_us(to_datetime(time_us)) == time_us
    moment = parse_moment(to_rfc3339(time_us))
    assert moment is not None
    assert to_us(moment) == time_us


def test_known_moments() -> None:
    assert to_rfc3339(1_732_277_003_120_001) == "2024-11-22T12:03:23.120001Z"
    assert to_rfc3339(-1) == "1969-12-31T23:59:59.999999Z"
    assert to_datetime(0) == EPOCH
    assert to_us(datetime(1970, 1, 1, 1, tzinfo=timezone(timedelta(hours=1)))) == 0


@pytest.mark.parametrize("text", ["", "now", "2026-01-31", "2026-01-31T12:00:00", "2026-02-30T12:00:00Z", "1e9", "\0"])
def test_what_is_no_moment(text: str) -> None:
    assert parse_moment(text) is None
