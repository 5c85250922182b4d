"""Timestamps: every moment that can be said is exact within its unit, everything else is a ValueError."""

import re
from datetime import UTC, date, datetime, time, timedelta, timezone
from fractions import Fraction

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.core.timestamps import MAX_US
from gateway.ingest.wire.device_time import SMALL, column, parse_timestamp
from tests.property.bodies import ZONES

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
US = timedelta(microseconds=1)
RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:?\d\d)", re.ASCII)
"""RFC 3339 with a zone; a space for the T is its section 5.6, an offset without a colon is ISO 8601's basic form."""

many = settings(max_examples=300, deadline=None)


@many
@given(st.integers(0, 5 * 10**9 - 1))
@example(0)
@example(5 * 10**9 - 1)
def test_whole_seconds_are_exact(secs: int) -> None:
    assert parse_timestamp(secs) == secs * 1_000_000


@many
@given(st.integers(5 * 10**9, 5 * 10**12 - 1))
@example(5 * 10**9)
@example(5 * 10**12 - 1)
def test_whole_milliseconds_are_exact(millis: int) -> None:
    assert parse_timestamp(millis) == millis * 1000


@many
@given(st.integers(5 * 10**12, 5 * 10**15 - 1))
@example(5 * 10**12)
@example(5 * 10**15 - 1)
def test_microseconds_are_exact(micros: int) -> None:
    assert parse_timestamp(micros) == micros


@many
@given(st.integers(5 * 10**15, 10**20 - 1))
@example(5 * 10**15)
@example(10**20 - 1)
def test_nanoseconds_are_the_nearest_microsecond(nanos: int) -> None:
    assert abs(parse_timestamp(nanos) * 1000 - nanos) <= 500


@many
@given(st.integers(0, 2**51))
def test_seconds_with_a_fraction_keep_their_microsecond(micros: int) -> None:
    assert parse_timestamp(micros / 1_000_000) == micros


@many
@given(st.floats(0, 1e20, exclude_max=True))
def test_a_fraction_of_any_unit_is_within_a_microsecond(ts: float) -> None:
    unit = next(
        unit for below, unit in ((5e9, 10**6), (5e12, 10**3), (5e15, 1), (1e20, Fraction(1, 1000))) if ts < below
    )
    assert abs(parse_timestamp(ts) - Fraction(ts) * unit) <= 1


@many
@given(st.datetimes(datetime(1970, 1, 3), datetime(9999, 12, 29), timezones=ZONES), st.sampled_from("Tt "))  # noqa: DTZ001 -- the zone is drawn
def test_text_is_exact(moment: datetime, separator: str) -> None:
    expected = (moment - EPOCH) // US
    assert parse_timestamp(moment) == expected
    assert parse_timestamp(moment.isoformat(separator)) == expected
    assert parse_timestamp(moment.astimezone(UTC).isoformat(separator).replace("+00:00", "Z")) == expected


@many
@given(st.dates(date(1970, 1, 2), date(9999, 12, 30)), ZONES, st.integers(0, 999_999), st.booleans())
def test_a_leap_second_is_the_first_of_the_next_day(day: date, zone: timezone, micros: int, other: bool) -> None:
    """As POSIX and PostgreSQL read it. At another time of the day there is none."""
    last = datetime.combine(day, time(23, 59, 59, micros), UTC) - timedelta(minutes=other)
    text = last.astimezone(zone).isoformat(timespec="microseconds").replace(":59.", ":60.")
    if other:
        with pytest.raises(ValueError, match="no leap second"):
            parse_timestamp(text)
    else:
        assert parse_timestamp(text) == (last + timedelta(seconds=1) - EPOCH) // US


@many
@given(st.integers(0, MAX_US - 1), st.integers(0, 999))
def test_text_with_nanoseconds_is_the_nearest_microsecond(micros: int, nanos: int) -> None:
    text = f"{(EPOCH + micros * US).replace(tzinfo=None).isoformat(timespec='microseconds')}{nanos:03}Z"
    assert abs(parse_timestamp(text) * 1000 - (micros * 1000 + nanos)) <= 500


@many
@given(st.datetimes(max_value=datetime(1969, 12, 30), timezones=ZONES))  # noqa: DTZ001 -- the zone is drawn
def test_moments_before_1970_are_refused(moment: datetime) -> None:
    with pytest.raises(ValueError, match="outside 1970 to 9999"):
        parse_timestamp(moment)
    with pytest.raises(ValueError, match="outside 1970 to 9999"):
        parse_timestamp(moment.isoformat())


@many
@given(st.datetimes())
def test_a_moment_without_a_zone_is_refused(moment: datetime) -> None:
    with pytest.raises(ValueError, match="no zone"):
        parse_timestamp(moment)
    with pytest.raises(ValueError, match="no zone"):
        parse_timestamp(moment.isoformat())


@st.composite
def nearly_rfc_3339(draw: st.DrawFn) -> str:
    text = draw(st.datetimes(timezones=ZONES)).isoformat(draw(st.sampled_from("T ")))
    at = draw(st.integers(0, len(text)))
    junk: str = draw(st.sampled_from([*"0129TZ:+-.,W \0é\ud800٣", ""]))
    return text[:at] + junk + text[at + draw(st.integers(0, 2)) :]


@many
@given(st.text() | nearly_rfc_3339())
@example("2024-11-22T12:03:20+01")
@example("2024-11-22T12Z")
@example("20241122T120320Z")
@example("2024-W47-5T12:03:20Z")
@example("2024-11-22T12:03:20,5Z")
@example("2024-11-22T12:03:60Z")
@example("9999-12-31T23:59:60Z")
@example("0001-01-01T00:59:60+01:00")
@example("2024-11-22T24:00:00Z")
@example("9999-12-31T23:59:59.9999999Z")
@example("0001-01-01T00:00:00+23:59")
@example("1732277000")
def test_any_other_text_is_a_value_error(text: str) -> None:
    try:
        us = parse_timestamp(text)
    except ValueError:
        return
    assert RFC_3339.fullmatch(text)
    assert 0 <= us <= MAX_US


@pytest.mark.parametrize(
    "ts",
    [True, False, -1, -0.5, float("nan"), float("inf"), float("-inf"), 1e20, 10**20, 10**400, -(10**400)],
    ids=repr,
)
def test_what_is_no_unix_time_is_a_value_error(ts: float) -> None:
    with pytest.raises(ValueError, match="not a Unix time"):
        parse_timestamp(ts)


NUMBERS = st.integers(0, 10**20 - 1) | st.floats(0, 1e20, exclude_max=True)
MANY_MILLIS = st.lists(st.integers(5 * 10**9, 5 * 10**12 - 1), min_size=SMALL + 1, max_size=SMALL + 4)


@many
@given(st.lists(NUMBERS | st.none(), max_size=SMALL + 4) | MANY_MILLIS, st.integers(0, 2**51))
@example([5 * 10**12] + [5 * 10**9] * SMALL, 0)
@example([5 * 10**12 - 1] + [5 * 10**9] * SMALL, 0)
@example([5 * 10**9 - 1] + [5 * 10**9] * SMALL, 0)
@example([-0.0, 0, None], 7)
def test_a_column_is_its_timestamps_one_by_one(stamps: list[int | float | None], received_us: int) -> None:
    expected = [received_us + i if ts is None else parse_timestamp(ts) for i, ts in enumerate(stamps)]
    assert column(stamps, received_us).tolist() == expected


@pytest.mark.parametrize("bad", [-1, 10**20, float("nan"), datetime(2024, 11, 22)])  # noqa: DTZ001 -- no zone is the case
@pytest.mark.parametrize("others", [[], [1_732_277_000_123] * SMALL])
def test_one_bad_timestamp_fails_its_column(bad: int | float | datetime, others: list[int]) -> None:
    with pytest.raises(ValueError, match=r"not a Unix time|no zone"):
        column([*others, bad], 0)
