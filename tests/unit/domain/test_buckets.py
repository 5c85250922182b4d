"""Where buckets start: widths and calendar days, in zones whose clocks jump."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from gateway.core.durations import UNITS
from gateway.core.errors import TooManyBuckets
from gateway.core.timestamps import EPOCH, to_datetime
from gateway.domain.buckets import to_cut
from gateway.domain.history import MAX_BUCKETS, Span

SECOND = 1_000_000
ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kolkata",
    "America/Sao_Paulo",
    "Africa/Cairo",
    "Pacific/Apia",
]
LAST_US = 253_370_764_800_000_000
moments = st.integers(0, LAST_US - 1)


def at(text: str) -> int:
    return (datetime.fromisoformat(text).astimezone(UTC) - EPOCH) // timedelta(microseconds=1)


@given(
    start=moments,
    length=st.integers(0, 10**16),
    count=st.integers(1, 1000),
    unit=st.sampled_from("smhd"),
    zone=st.sampled_from(ZONES),
)
def test_buckets_ascend_and_cover_the_span(*, start: int, length: int, count: int, unit: str, zone: str) -> None:
    span = Span(start, min(start + length, LAST_US))
    assume((span.end_us - start) / (count * UNITS[unit] * SECOND) < 2000)
    cut = to_cut(span, count=count, unit=unit, zone=ZoneInfo(zone))
    starts = cut.starts()
    assert cut.size == len(starts)
    assert starts == sorted(set(starts))
    if span.start_us < span.end_us:
        assert starts[0] <= span.start_us
        assert starts[-1] < span.end_us
        assert span.end_us - starts[-1] <= (count + 1) * 2 * UNITS[unit] * SECOND
    if len(starts) > 1:
        assert starts[1] > span.start_us


@given(start=moments, length=st.integers(1, LAST_US), count=st.integers(1, 10), unit=st.sampled_from("smhd"))
def test_what_is_suggested_is_taken(start: int, length: int, count: int, unit: str) -> None:
    span = Span(start, min(start + length, LAST_US))
    try:
        to_cut(span, count=count, unit=unit, zone=ZoneInfo("UTC"))
    except TooManyBuckets as refused:
        every = str(refused.details["suggested_every"])
        cut = to_cut(span, count=int(every[:-1]), unit=every[-1], zone=ZoneInfo("UTC"))
        assert 1 <= cut.size <= MAX_BUCKETS


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", "2024-03-31T00:00+01:00", 23),
        ("Europe/Berlin", "2024-10-27T00:00+02:00", 25),
        ("America/Sao_Paulo", "2018-11-04T01:00-02:00", 23),  # the clock jumps over midnight
        ("Africa/Cairo", "2024-04-26T01:00+03:00", 23),
        ("Asia/Kolkata", "2024-04-26T00:00+05:30", 24),
    ],
)
def test_days_are_as_long_as_the_clock_makes_them(zone: str, day: str, hours: int) -> None:
    begin = at(day)
    length = hours * 3600 * SECOND
    cut = to_cut(Span(begin, begin + length + 1), count=1, unit="d", zone=ZoneInfo(zone))
    assert cut.starts() == [begin, begin + length]


def test_a_day_that_a_zone_left_out() -> None:
    begin = at("2011-12-29T00:00-10:00")
    cut = to_cut(Span(begin, begin + 3 * 86_400 * SECOND), count=1, unit="d", zone=ZoneInfo("Pacific/Apia"))
    starts = cut.starts()
    assert starts == sorted(set(starts))
    assert starts[:2] == [begin, at("2011-12-31T00:00+14:00")]


def test_weeks_begin_on_mondays_where_the_clock_is_asked_for() -> None:
    span = Span(at("2024-03-27T12:00+01:00"), at("2024-04-03T00:00+02:00"))  # a Wednesday; the clock changes on Sunday
    weeks = [at("2024-03-25T00:00+01:00"), at("2024-04-01T00:00+02:00")]
    assert to_cut(span, count=7, unit="d", zone=ZoneInfo("Europe/Berlin")).starts() == weeks
    lengths = [at("2024-03-25T00:00+01:00"), at("2024-04-01T01:00+02:00")]
    assert to_cut(span, count=168, unit="h", zone=ZoneInfo("Europe/Berlin")).starts() == lengths
    early = to_cut(Span(0, 1), count=7, unit="d", zone=ZoneInfo("UTC"))
    assert early.starts() == [at("1969-12-29T00:00+00:00")]


@given(start=moments, days=st.integers(1, 2000), count=st.integers(1, 40), zone=st.sampled_from(ZONES))
@example(start=at("2024-03-27T12:00+01:00"), days=20, count=7, zone="Europe/Berlin")
@example(start=at("2024-10-20T12:00+01:00"), days=40, count=14, zone="America/New_York")
@example(start=at("2018-10-30T12:00+00:00"), days=20, count=7, zone="America/Sao_Paulo")
@example(start=at("2011-12-20T12:00+00:00"), days=30, count=2, zone="Pacific/Apia")
def test_several_days_are_days_of_the_calendar(start: int, days: int, count: int, zone: str) -> None:
    """Whatever the clocks do, a bucket begins with its day; weeks with a Monday, all others as counted from 1970."""
    zone_info = ZoneInfo(zone)
    cut = to_cut(Span(start, min(start + days * 86_400 * SECOND, LAST_US)), count=count, unit="d", zone=zone_info)
    since = date(1970, 1, 5) if count % 7 == 0 else date(1970, 1, 1)
    for begin in cut.starts():
        local = to_datetime(begin).astimezone(zone_info)
        before = to_datetime(begin - 1).astimezone(zone_info)
        assert before.date() < local.date(), "nothing of its day lies before it"
        left_out = (local.date() - before.date()).days - 1  # a zone moved over the date line
        assert any(((local.date() - since).days - skipped) % count == 0 for skipped in range(left_out + 1))


def test_the_zones_of_the_world_are_here() -> None:
    assert {*ZONES} <= available_timezones()
