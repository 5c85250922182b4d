"""Durations: what is one, and that each is read as it was written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.durations import MAX_SECS, UNITS, Duration, parse_duration


@given(st.integers(1, 10**10 - 1), st.sampled_from(sorted(UNITS)))
def test_a_duration_is_read_as_written(count: int, unit: str) -> None:
    fits = count * UNITS[unit] <= MAX_SECS
    assert parse_duration(f"{count}{unit}") == (Duration(count, unit) if fits else None)


@pytest.mark.parametrize("text", ["", "m", "15", "0s", "-1s", "+1s", "1.5h", "1 h", "1h\n", "15M", "1w", "٣s", "1m30s"])
def test_what_is_no_duration(text: str) -> None:
    assert parse_duration(text) is None


@pytest.mark.parametrize(("text", "secs"), [("90s", 90), ("15m", 900), ("2h", 7200), ("1d", 86_400), ("007s", 7)])
def test_its_seconds(text: str, secs: int) -> None:
    duration = parse_duration(text)
    assert duration is not None
    assert duration.secs == secs
