import hashlib
import json
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.core.chance import hash_name
from simulator.plan.metrics import DOOR, FIRMWARE, FIRMWARE_VERSION, MODELS, Metric, numbers
from simulator.plan.values import Burst, Chain, Counter, Day, Drain, Walk

MODEL_METRICS = [metric for model in MODELS.values() for metric in model]
EVERY = (*numbers(20), DOOR, FIRMWARE_VERSION)


def _codes(name: str, n: int, *, device: int = 7, seed: int = 1) -> list[int]:
    metric = next(m for m in EVERY if m.name == name)
    return list(metric.codes(np.array([device], dtype=np.int64), np.arange(n, dtype=np.int64), seed=seed).tolist())


@given(st.integers(0, 2**63), st.integers(0, 10**6), st.integers(0, 10**9))
def test_values_are_of_their_kind_anywhere(seed: int, device: int, n: int) -> None:
    for metric in (*EVERY, *MODEL_METRICS):
        code = metric.codes(np.array([device]), np.array([n]), seed=seed)
        (value,) = metric.values(code).tolist()
        assert type(value) is {"double": float, "int": int, "bool": bool, "text": str}[metric.kind]
        if isinstance(metric.movement, Day | Walk | Drain):
            assert metric.movement.low <= int(code[0]) <= metric.movement.high


def test_these_very_values_follow_from_seed_1() -> None:
    # golden: a change here changes what every seed means
    device, n = np.array([[7]]), np.arange(50)[None, :]
    told = [metric.values(metric.codes(device, n, seed=1))[0].tolist() for metric in (*EVERY, *MODEL_METRICS)]
    assert hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16] == "616697c3abe4a00d"


def test_a_message_is_the_same_alone_and_among_others() -> None:
    for metric in (*EVERY, *MODEL_METRICS):
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


def _of_model(model: str, name: str) -> Metric:
    return next(metric for metric in MODELS[model] if metric.name == name)


def _values(metric: Metric, n: int) -> Any:
    return metric.values(metric.codes(np.arange(20)[:, None], np.arange(n)[None, :], seed=1))


def test_a_meters_register_only_grows_and_begins_anew_at_32_bits() -> None:
    register = _values(_of_model("energy_meter", "energy_wh"), 1_000)
    steps = np.diff(register, axis=1)
    assert ((steps > -(2**32)) & (steps < 14_000)).all()
    assert ((steps < 0).sum(axis=1) == 1).all(), "once within the first messages of each meter"
    assert register.min() >= 0
    assert register.max() < 2**32


def test_a_walk_takes_small_steps_and_goes_far() -> None:
    latitude = _values(_of_model("vehicle", "latitude"), 20_000)
    reach = latitude.max() - latitude.min()
    assert reach > 0.1
    assert np.abs(np.diff(latitude, axis=1)).max() < reach / 10


def test_a_chain_moves_as_its_rows_say() -> None:
    chain = Chain(((900, 124), (24, 1_000)))
    states = chain.codes(np.arange(200)[:, None], np.arange(1_600)[None, :], salt=5)
    inside = np.arange(1, 1_600) % 16 != 0  # between two renewals
    before, after = states[:, :-1][:, inside], states[:, 1:][:, inside]
    for state, row in enumerate(chain.rows):
        stays = float((after[before == state] == state).mean())
        assert stays == pytest.approx(row[state] / 1_024, abs=0.01)
    assert float(states.mean()) == pytest.approx(124 / 148, abs=0.03)


def test_a_burst_is_loud_for_its_length() -> None:
    burst = Burst(quiet=10, loud=100_000, length=12, every=60)
    codes = np.abs(burst.codes(np.arange(50)[:, None], np.arange(60)[None, :], salt=1))
    assert ((codes > 10).sum(axis=1) <= 12).all()
    assert ((codes > 10).sum(axis=1) >= 6).all()


def test_a_battery_runs_down() -> None:
    voltage = Drain(low=210, high=300, every=40).codes(np.array([[3]]), np.arange(4_000)[None, :], salt=2)[0]
    assert sum(b > a for a, b in pairwise(voltage.tolist())) <= 2


def test_a_counter_needs_no_messages_before_it() -> None:
    counter = Counter(step=7, wrap=1_000)
    table = counter.codes(np.array([[1]]), np.arange(500)[None, :], salt=3)
    assert counter.codes(np.array([1]), np.array([499]), salt=3)[0] == table[0, 499]


def test_names_are_distinct_however_many() -> None:
    names = [metric.name for metric in numbers(500)]
    assert len(set(names)) == 500
    assert len({hash_name(name, seed=1) for name in names}) == 500


def test_some_numbers_need_all_their_digits() -> None:
    current = next(m for m in EVERY if m.name == "current")
    values = current.values(np.array(_codes("current", 100))).tolist()
    assert max(len(repr(value)) for value in values) >= 17
