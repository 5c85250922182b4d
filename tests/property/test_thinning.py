"""Largest-Triangle-Three-Buckets against a plain one, point by point."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.timescale.history.lttb import thin

steps = st.lists(st.integers(1, 10**7), min_size=1, max_size=150)
values = st.floats(-1e6, 1e6, width=32)


@given(deltas=steps, data=st.data(), points=st.integers(3, 60))
def test_it_picks_what_the_paper_picks(deltas: list[int], data: st.DataObject, points: int) -> None:
    times = np.cumsum(deltas).tolist()
    ys = data.draw(st.lists(values, min_size=len(times), max_size=len(times)))
    found = thin(np.array(times), np.array(ys), points).tolist()
    assert found == sorted(set(found))
    assert len(found) == min(points, len(times))
    assert (found[0], found[-1]) == (0, len(times) - 1)
    if len(times) <= points:
        return
    edges = np.linspace(1, len(times) - 1, points - 1).astype(int).tolist()
    buckets = [range(start, end) for start, end in pairwise(edges)] + [range(len(times) - 1, len(times))]
    for bucket, following, before, picked in zip(buckets, buckets[1:], found, found[1:], strict=False):
        largest = max(triangle(times, ys, before, i, following) for i in bucket)
        assert picked in bucket
        assert triangle(times, ys, before, picked, following) == pytest.approx(largest, rel=1e-9, abs=1e-3)


def triangle(times: list[int], ys: list[float], before: int, here: int, following: range) -> float:
    """Twice the area of the triangle of the point before, this one, and the centre of the following bucket."""
    cx = sum(times[i] - times[before] for i in following) / len(following)
    cy = sum(ys[i] - ys[before] for i in following) / len(following)
    return abs((times[here] - times[before]) * cy - cx * (ys[here] - ys[before]))


def test_a_peak_survives() -> None:
    ys = np.zeros(86_400)
    ys[12_345] = 1.0
    assert 12_345 in thin(np.arange(86_400) * 1_000_000, ys, 100)


def test_huge_and_equal_values_are_no_trouble() -> None:
    times = np.arange(1000) * 1_000_000
    for ys in (np.zeros(1000), np.full(1000, 1.7e308), np.where(np.arange(1000) % 2, 1.7e308, -1.7e308)):
        with np.errstate(all="raise"):
            assert len(thin(times, ys, 10)) == 10


def test_two_points_are_no_chart() -> None:
    with pytest.raises(ValueError, match="too few"):
        thin(np.arange(5), np.zeros(5), 2)
