"""Rate limits against a bucket that is counted in exact fractions, and the promise itself: burst + rate · t."""

from fractions import Fraction

from hypothesis import example, given
from hypothesis import strategies as st

from gateway.domain.rate_limit import SLACK_SECS, Meter, Rate

MILLI = Fraction(1, 1000)
rates = st.sampled_from([0.1, 0.5, 1.0, 3.0, 10.0, 1000.0, 2.5e6])
bursts = st.sampled_from([1, 2, 5, 100, 10_000])
calls = st.lists(
    st.tuples(st.integers(0, 20_000), st.integers(0, 12).map(lambda n: n * n * n)),  # ms since the one before, units
    max_size=60,
)
starts = st.sampled_from([0, 1_000, 3_000_000])


def meter(per_sec: float, burst: int, *, max_callers: int = 10) -> Meter:
    return Meter(Rate("limits.x", per_sec, "readings", per_sec, burst), max_callers=max_callers)


class Bucket:
    """Full at first, refilled steadily; what is larger than it passes when it is full, and leaves it in debt."""

    def __init__(self, per_sec: float, burst: int, now: Fraction) -> None:
        self.per_sec, self.burst = Fraction(per_sec), burst
        self.level, self.at = Fraction(burst), now

    def lacks(self, units: int, now: Fraction) -> Fraction:
        """What is missing (zero or less: it may pass)."""
        self.level, self.at = min(Fraction(self.burst), self.level + (now - self.at) * self.per_sec), now
        return min(units, self.burst) - self.level


@given(per_sec=rates, burst=bursts, calls=calls, start=starts)
@example(per_sec=0.1, burst=1, calls=[(0, 1), (9999, 1), (1, 1)], start=0)
@example(per_sec=3.0, burst=2, calls=[(0, 1), (0, 1), (333, 1), (1, 1)], start=3_000_000)
def test_it_decides_as_a_bucket_does(per_sec: float, burst: int, calls: list[tuple[int, int]], start: int) -> None:
    now = Fraction(start)
    one, bucket = meter(per_sec, burst), Bucket(per_sec, burst, now)
    for gap, units in calls:
        now += gap * MILLI
        lacks = bucket.lacks(units, now)
        left = one.left("me", float(now))
        assert abs(left.units - max(Fraction(0), bucket.level)) <= 1 + 1e-3 * per_sec
        wait = one.take("me", units, float(now))
        secs = lacks / bucket.per_sec
        if abs(secs) > 4 * SLACK_SECS:  # else either answer is right
            assert (wait == 0) == (secs <= 0)
            assert abs(wait - max(Fraction(0), secs)) < 1e-4
        if wait == 0:
            bucket.level -= units


@given(per_sec=rates, burst=bursts, calls=calls, start=starts)
def test_never_more_than_burst_and_rate_passes(
    per_sec: float, burst: int, calls: list[tuple[int, int]], start: int
) -> None:
    one = meter(per_sec, burst)
    now = Fraction(start)
    passed: list[tuple[Fraction, int]] = []
    for gap, units in calls:
        now += gap * MILLI
        if one.take("me", units, float(now)) == 0:
            passed.append((now, units))
    for first in range(len(passed)):
        for last in range(first, len(passed)):
            secs = passed[last][0] - passed[first][0]
            most = burst + Fraction(per_sec) * (secs + Fraction(4 * SLACK_SECS))
            excess = max(0, passed[last][1] - burst)  # one that is larger than the bucket, paid for afterwards
            assert sum(units for _, units in passed[first : last + 1]) <= most + excess


@given(per_sec=rates, burst=bursts, calls=calls)
def test_who_waits_as_told_passes(per_sec: float, burst: int, calls: list[tuple[int, int]]) -> None:
    one = meter(per_sec, burst)
    now = 0.0
    for gap, units in calls:
        now += gap / 1000
        wait = one.take("me", units, now)
        if wait:
            now += wait
            assert one.take("me", units, now) == 0


@given(
    calls=st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 9), st.integers(1, 8)), max_size=80),
    max_callers=st.integers(1, 12),
)
def test_the_table_is_bounded_and_forgets_nothing_that_matters(
    calls: list[tuple[int, int, int]], max_callers: int
) -> None:
    one, alone = meter(2.0, 4, max_callers=max_callers), {name: meter(2.0, 4) for name in range(10)}
    now = 0.0
    for gap, caller, units in calls:
        now += gap / 1000
        wait = one.take(caller, units, now)
        assert one.known <= max_callers
        expected = alone[caller].take(caller, units, now)
        if max_callers >= 10:
            assert wait == expected
        elif wait == 0 and expected:
            alone[caller].charge(caller, units, now)  # it was forgotten: it gets more, never less
        else:
            assert wait <= expected + SLACK_SECS
