"""Every input for which a check failed once, and every seed: from then on it holds."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz import targets  # noqa: F401 - fills the table
from tests.fuzz.target import CORPUS, TARGETS, altered, cut

INPUTS = [(name, path) for name, one in TARGETS.items() for path in one.corpus()]
FEW = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def test_what_failed_once_holds() -> None:
    for name, path in INPUTS:
        try:
            TARGETS[name].check(path.read_bytes())
        except Exception as exc:
            raise AssertionError(f"{name}: {path.name}") from exc


def test_every_input_belongs_to_a_target() -> None:
    assert {path.parent.name for path in CORPUS.glob("*/*")} <= TARGETS.keys()


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_good_and_what_is_altered_holds(name: str) -> None:
    one = TARGETS[name]
    for seed in one.seeds:
        one.check(seed)
    FEW(given(one.inputs())(one.check))()


@given(st.binary(max_size=3_000))
def test_pieces_are_the_whole_and_the_same_each_time(data: bytes) -> None:
    assert b"".join(cut(data)) == data
    assert cut(data) == cut(data)


@given(altered([b"abc", b""]))
def test_an_altered_seed_is_no_longer_than_it_may_be(data: bytes) -> None:
    assert len(data) <= 20_000
