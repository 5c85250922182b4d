"""Latencies put into the histogram many at a time: the same as one by one."""

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given
from hypothesis import strategies as st

from simulator.send.latency import Latencies, Percentiles

_LOWEST_US, _HIGHEST_US = 1, 3_600_000_000


@given(st.lists(st.floats(0, 5_000, allow_nan=False), max_size=300), st.integers(0, 9_000))
def test_many_at_a_time_make_the_same_histogram_as_one_by_one(seconds: list[float], more: int) -> None:
    seconds += (np.random.default_rng(more).lognormal(-5, 3, more)).tolist()
    latencies, plain = Latencies(), HdrHistogram(_LOWEST_US, _HIGHEST_US, 3)
    for one in seconds:
        latencies.record(one, recent=False)
        plain.record_value(min(max(int(one * 1_000_000), _LOWEST_US), _HIGHEST_US))
    assert latencies.encode() == bytes(plain.encode())
    found = latencies.summary()
    assert found.count == len(seconds)
    if seconds:
        assert found.max == plain.get_max_value() / 1_000
        assert found.p99 == plain.get_value_at_percentile(99) / 1_000


def test_nothing_measured_is_nothing() -> None:
    assert Latencies().summary() == Percentiles()


def test_what_two_have_measured_adds_up() -> None:
    one, other = Latencies(), Latencies()
    one.record(0.001)
    other.record(0.003)
    one.add(other)
    assert one.summary().count == 2
    assert one.summary().max == pytest.approx(3.0, abs=0.01)
    assert (one.take_recent(), one.take_since(), one.take_recent()) == ([0.001], [0.001], [])
