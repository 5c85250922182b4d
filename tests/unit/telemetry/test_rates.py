"""Rates from sums: by the real time between, over what is kept, and none of what was never measured."""

from bisect import bisect_left
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.telemetry.prometheus import LATENCY_BUCKETS
from gateway.telemetry.rates import NOW_SAMPLES, SAMPLES, RateHistory, Rates, Sums, between, quantile

ZERO = (0,) * (len(LATENCY_BUCKETS) + 1)


def sums(step: int, *, each: int = 10, latency: tuple[int, ...] = ZERO, secs: float = 5.0) -> Sums:
    """A gateway that counts so many of each kind in a step."""
    requests, messages, readings, refused = (kind * each * step for kind in (1, 2, 3, 4))
    return Sums(step * 5000, step * secs, requests, messages, readings, refused, latency)


def took(*secs: float) -> tuple[int, ...]:
    """The cumulative buckets of these durations."""
    counts = [0] * (len(LATENCY_BUCKETS) + 1)
    for one in secs:
        counts[bisect_left(LATENCY_BUCKETS, one)] += 1
    return tuple(accumulate(counts))


def test_nothing_is_said_before_there_are_two_samples() -> None:
    history = RateHistory()
    assert (history.now(), history.newest, history.series().ts) == (Rates(), None, [])
    history.add(sums(1))
    assert history.now() == Rates()
    assert history.series().readings_per_s == []


def test_a_rate_is_the_difference_by_the_time_between() -> None:
    rates = between(sums(1), sums(2, secs=5.0))
    assert (rates.requests_per_s, rates.messages_per_s, rates.readings_per_s, rates.refused_per_s) == (2, 4, 6, 8)
    late = sums(2)._replace(at_secs=15.0)
    assert between(sums(1), late).requests_per_s == 1
    assert (rates.p50_ms, rates.p99_ms) == (None, None)


def test_now_is_the_last_steps_and_the_series_all() -> None:
    history = RateHistory()
    for step in range(4):
        history.add(sums(step))
    fast = sums(3)._replace(at_ms=20_000, at_secs=20.0, readings=90 + 300)
    history.add(fast)
    assert NOW_SAMPLES == 2
    assert history.now().readings_per_s == (30 + 300) / 10
    series = history.series()
    assert series.ts == [5000, 10_000, 15_000, 20_000]
    assert series.readings_per_s == [6, 6, 6, 60]
    assert {len(getattr(series, field)) for field in series.__struct_fields__} == {4}


def test_it_holds_15_minutes_and_no_more() -> None:
    history = RateHistory()
    for step in range(SAMPLES + 50):
        history.add(sums(step))
    series = history.series()
    assert len(series.ts) == SAMPLES
    assert (series.ts[-1] - series.ts[0]) // 1000 == 15 * 60 - 5


def test_after_a_restart_of_the_counts_the_past_is_forgotten() -> None:
    history = RateHistory()
    for step in (5, 6, 7):
        history.add(sums(step))
    begun_anew = sums(1)._replace(at_ms=40_000, at_secs=40.0)
    history.add(begun_anew)
    assert history.series().ts == []
    history.add(begun_anew._replace(at_ms=45_000, at_secs=45.0, requests=60))
    assert history.series().requests_per_s == [10]


def test_a_clock_that_stands_still_divides_by_nothing() -> None:
    history = RateHistory()
    history.add(sums(1))
    history.add(sums(1)._replace(requests=100))
    assert history.series().ts == []


def test_latency_is_that_of_the_step_and_not_of_all_time() -> None:
    before = took(*[0.002] * 1000)
    after = tuple(old + new for old, new in zip(before, took(*[0.3] * 100), strict=True))
    rates = between(sums(1, latency=before), sums(2, latency=after))
    assert rates.p50_ms is not None
    assert rates.p99_ms is not None
    assert 250 < rates.p50_ms < rates.p99_ms <= 500


@pytest.mark.parametrize(
    ("within", "share", "expected"),
    [
        (took(), 0.5, None),
        (took(0.5), 1.0, 0.5),
        (took(0.0005), 0.5, 0.0005),
        (took(*[0.001] * 50, *[0.1] * 50), 0.5, 0.001),
        (took(*[99.0] * 9), 0.5, 30.0),  # beyond the last bound no more can be said
    ],
)
def test_a_quantile_lies_where_it_must(within: tuple[int, ...], share: float, expected: float | None) -> None:
    assert quantile(within, share) == (None if expected is None else pytest.approx(expected))


@given(st.lists(st.floats(0, 40), min_size=1, max_size=200), st.floats(0.01, 1), st.floats(0.01, 1))
def test_a_quantile_lies_in_the_bucket_of_the_true_one(durations: list[float], one: float, other: float) -> None:
    low, high = sorted((one, other))
    within = took(*durations)
    first, second = quantile(within, low), quantile(within, high)
    assert first is not None
    assert second is not None
    assert first <= second
    rank = next(i for i, count in enumerate(accumulate([1] * len(durations))) if count >= high * len(durations))
    true = sorted(durations)[rank]
    bounds = (0.0, *LATENCY_BUCKETS)
    place = min(bisect_left(LATENCY_BUCKETS, true), len(LATENCY_BUCKETS) - 1)
    assert bounds[place] - 1e-9 <= second <= bounds[place + 1] + 1e-9
