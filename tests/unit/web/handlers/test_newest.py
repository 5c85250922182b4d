from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.timestamps import to_rfc3339
from gateway.web.http.etag import matches


@pytest.mark.parametrize(
    ("time_us", "text"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (1_732_277_000_123_000, "2024-11-22T12:03:20.123000Z"),
        (1_732_277_000_000_001, "2024-11-22T12:03:20.000001Z"),
        (-1, "1969-12-31T23:59:59.999999Z"),
    ],
)
def test_times_have_six_digits_and_a_z(time_us: int, text: str) -> None:
    assert to_rfc3339(time_us) == text


@given(st.integers(0, 4_000_000_000_000_000))
def test_no_microsecond_is_lost(time_us: int) -> None:
    read = datetime.strptime(to_rfc3339(time_us), "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    whole, rest = divmod(time_us, 1_000_000)
    assert (int(read.timestamp()), read.microsecond) == (whole, rest)


@pytest.mark.parametrize(
    ("given_headers", "same"),
    [
        ([], False),
        (['"a"'], True),
        (['W/"a"'], True),
        (['"b", "a"'], True),
        (['"b"', '"a"'], True),
        (["*"], True),
        (['"ab"'], False),
        (["a"], False),
        ([""], False),
    ],
)
def test_if_none_match(given_headers: list[str], same: bool) -> None:
    assert matches(given_headers, '"a"') is same
