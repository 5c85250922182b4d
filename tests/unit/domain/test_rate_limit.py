"""Rate limits where the property tests do not look: what settings lead to, debts, and whom a full table forgets."""

import pytest

from gateway.core import settings
from gateway.domain.rate_limit import Meter, Rate, to_meter, to_meters


def meter(*, per_sec: float = 1.0, burst: float = 10.0, max_callers: int = 100) -> Meter:
    return Meter(Rate("limits.x", per_sec, "requests", per_sec, burst), max_callers=max_callers)


def test_no_limits_are_no_meters() -> None:
    limits = settings.LimitSettings()
    assert [to_meters(limits, kind) for kind in ("device", "key", "address")] == [None, None, None]
    assert to_meter(limits, "backfill_readings_per_sec", "readings") is None


def test_each_setting_is_a_meter_of_its_own() -> None:
    limits = settings.LimitSettings(device_readings_per_sec=100, burst_secs=5)
    meters = to_meters(limits, "device")
    assert meters is not None
    assert (meters.requests, meters.bytes) == (None, None)
    assert meters.readings is not None
    assert meters.readings.rate == Rate("limits.device_readings_per_sec", 100, "readings", 100.0, 500.0)


@pytest.mark.parametrize(("value", "share", "per_sec", "burst"), [(100, 4, 25.0, 250.0), (0.1, 2, 0.05, 1.0)])
def test_workers_share_a_limit(value: float, share: int, per_sec: float, burst: float) -> None:
    one = to_meter(settings.LimitSettings(key_requests_per_sec=value), "key_requests_per_sec", "requests", share=share)
    assert one is not None
    assert (one.rate.value, one.rate.per_sec, one.rate.burst) == (value, per_sec, burst)


def test_a_burst_passes_and_not_one_more() -> None:
    one = meter(per_sec=3.0, burst=1000)
    assert [one.take("a", 1, 1e6) for _ in range(1000)] == [0.0] * 1000
    assert one.take("a", 1, 1e6) == pytest.approx(1 / 3, abs=1e-3)
    assert one.take("b", 1, 1e6) == 0


def test_what_is_larger_than_the_bucket_passes_when_it_is_full_and_is_paid_for() -> None:
    one = meter(burst=10)
    assert one.take("a", 35, 0.0) == 0
    assert one.wait("a", 1, 0.0) == pytest.approx(26.0)
    assert one.wait("a", 35, 0.0) == pytest.approx(35.0)
    assert one.take("a", 35, 35.0) == 0


def test_a_debt_can_be_bounded() -> None:
    one = meter(burst=10)
    one.charge("a", 1000, 0.0, most_secs=60)
    assert one.wait("a", 1, 0.0) == pytest.approx(61.0)
    assert one.left("a", 0.0).units == 0
    assert one.left("a", 0.0).full_in_secs == pytest.approx(70.0)


def test_a_full_table_forgets_who_was_quiet_longest() -> None:
    one = meter(burst=1, max_callers=3)
    for name in "abc":
        assert one.take(name, 1, 0.0) == 0
    one.charge("a", 0, 0.1)  # a was heard of again, and then b
    assert one.take("b", 0, 0.1) == 0
    assert one.take("d", 1, 0.2) == 0
    assert [one.take(name, 1, 0.3) > 0 for name in "abd"] == [True, True, True]
    assert one.known == 3
    assert one.take("c", 1, 0.3) == 0, "c begins anew"


def test_strangers_are_never_refused_for_their_number() -> None:
    one = meter(burst=1, max_callers=100)
    assert all(one.take(i, 1, 0.0) == 0 for i in range(10_000))
    assert one.known == 100


def test_the_table_shrinks_by_itself() -> None:
    one = meter(burst=1, max_callers=10_000)
    for i in range(1000):
        one.take(i, 1, 0.0)
    for i in range(1000):
        one.take(-i - 1, 1, 100.0 + 2 * i)
    assert one.known <= 2
