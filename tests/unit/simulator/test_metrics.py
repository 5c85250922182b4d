from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.devices.metrics import DOOR, FIRMWARE, FIRMWARE_VERSION, hash_name, numbers

GOLDEN = {"temperature": [433, 312, 346, 335], "current": [16760, 16972, 18529, 18877], "firmware": [4]}
GOLDEN_DOOR = "000110000000010000001000"
EVERY = (*numbers(20), DOOR, FIRMWARE_VERSION)


def _codes(name: str, n: int, *, device: int = 7, seed: int = 1) -> list[int]:
    metric = next(m for m in EVERY if m.name == name)
    return list(metric.codes(np.array([device], dtype=np.int64), np.arange(n, dtype=np.int64), seed=seed).tolist())


@given(st.integers(0, 2**63), st.integers(0, 10**6), st.integers(0, 10**12))
def test_codes_stay_within_their_metric(seed: int, device: int, n: int) -> None:
    for metric in EVERY:
        (code,) = metric.codes(np.array([device]), np.array([n]), seed=seed).tolist()
        assert metric.low <= code <= metric.high or metric.kind == "text"
        (value,) = metric.values(np.array([code])).tolist()
        assert type(value) is {"double": float, "bool": bool, "text": str}[metric.kind]


def test_these_very_codes_follow_from_seed_1() -> None:
    # golden: a change here changes what every seed means
    assert _codes("temperature", 4) == GOLDEN["temperature"]
    assert _codes("current", 4) == GOLDEN["current"]
    assert "".join(map(str, _codes("door_open", 24))) == GOLDEN_DOOR
    assert _codes("firmware", 1) == GOLDEN["firmware"]


def test_a_message_is_the_same_alone_and_among_others() -> None:
    for metric in EVERY:
        table = metric.codes(np.arange(5)[:, None], np.arange(50)[None, :], seed=3)
        alone = metric.codes(np.array([4]), np.array([49]), seed=3)
        assert table[4, 49] == alone[0]


@pytest.mark.parametrize("name", [m.name for m in EVERY if m.kind == "double"])
def test_numbers_move(name: str) -> None:
    codes = _codes(name, 240)
    assert len(set(codes)) > 100


def test_seed_and_device_make_a_difference() -> None:
    assert _codes("humidity", 50) != _codes("humidity", 50, seed=2)
    assert _codes("humidity", 50) != _codes("humidity", 50, device=8)


def test_a_text_changes_now_and_then_through_all_it_can_be() -> None:
    codes = _codes("firmware", 500 * len(FIRMWARE))
    assert set(codes) == set(range(len(FIRMWARE)))
    assert sum(a != b for a, b in pairwise(codes)) <= len(FIRMWARE)


def test_names_are_distinct_however_many() -> None:
    names = [metric.name for metric in numbers(500)]
    assert len(set(names)) == 500
    assert len({hash_name(name, seed=1) for name in names}) == 500


def test_some_numbers_need_all_their_digits() -> None:
    current = next(m for m in EVERY if m.name == "current")
    values = current.values(np.array(_codes("current", 100))).tolist()
    assert max(len(repr(value)) for value in values) >= 17
