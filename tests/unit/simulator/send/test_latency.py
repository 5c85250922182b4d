"""Latencies counted in buckets: right to a tenth of a per cent, whoever counts them together."""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.send.latency import Buckets, Latencies, Percentiles, coarse, percentiles, summary

SAMPLES = st.lists(st.floats(1e-6, 3_600, allow_nan=False), min_size=1, max_size=300)


def counted(seconds: list[float]) -> Buckets:
    latencies = Latencies()
    for one in seconds:
        latencies.record(one)
    return latencies.counts


@given(SAMPLES, st.integers(0, 9_000))
def test_percentiles_are_right_to_a_tenth_of_a_per_cent(seconds: list[float], more: int) -> None:
    seconds = seconds + np.clip(np.random.default_rng(more).lognormal(-5, 3, more), 1e-6, 3_600).tolist()
    found = summary([counted(seconds)])
    assert found.count == len(seconds)
    for told, share in zip(
        (found.p50, found.p90, found.p99, found.p999, found.max), (50, 90, 99, 99.9, 100), strict=True
    ):
        least, most = np.percentile(seconds, (share - 1e-6, min(100, share + 1e-6)), method="inverted_cdf") * 1_000
        assert least * 0.999 <= told <= most * 1.001, "a share of the samples may be a whole number"


def test_nothing_measured_is_nothing() -> None:
    assert summary([]) == summary([Latencies().counts]) == Percentiles()


@given(SAMPLES, SAMPLES)
def test_what_two_have_measured_adds_up_also_between_processes(one: list[float], other: list[float]) -> None:
    told = msgspec.json.decode(msgspec.json.encode(counted(other)), type=Buckets)
    assert summary([counted(one), told]) == summary([counted(one + other)])


def test_whoever_looks_sees_what_came_since_the_last_time() -> None:
    latencies = Latencies()
    latencies.record(0.001)
    assert latencies.since("a") == counted([0.001])
    latencies.record(0.003)
    assert latencies.since("a") == counted([0.003])
    assert latencies.since("b") == counted([0.001, 0.003])
    assert latencies.since("a") == {}


@pytest.mark.parametrize(("seconds", "ms"), [(0.0, 0.001), (1e9, 3_600_000.0)])
def test_what_cannot_be_is_taken_for_what_just_can(seconds: float, ms: float) -> None:
    assert summary([counted([seconds])]).max == pytest.approx(ms, rel=1e-3)


@given(SAMPLES)
def test_a_row_of_a_timeline_is_the_same_but_coarser(seconds: list[float]) -> None:
    row = coarse(counted(seconds))
    assert sum(row.values()) == len(seconds)
    assert math.isclose(percentiles(row)["p50"], summary([counted(seconds)]).p50, rel_tol=0.03)
