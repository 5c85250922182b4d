"""Open files: counted for the worker that needs most, raised as far as it goes, told when that is too little."""

import resource

import pytest

from simulator.core.errors import UsageError
from simulator.send import sender as open_files
from tests.unit.simulator.cases import plan


class Limit:
    """Stands for the kernel's."""

    def __init__(self, soft: int, hard: int) -> None:
        self.now = (soft, hard)

    def get(self, _: int) -> tuple[int, int]:
        return self.now

    def set(self, _: int, limits: tuple[int, int]) -> None:
        self.now = limits


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> Limit:
    made = Limit(1_024, 6_000)
    monkeypatch.setattr(resource, "getrlimit", made.get)
    monkeypatch.setattr(resource, "setrlimit", made.set)
    return made


def test_the_soft_limit_is_raised_to_what_is_needed_and_never_lowered(limit: Limit) -> None:
    many = plan(transport="mqtt", devices=5_000, mqtt_connections=5_000)
    open_files.check_files(many)
    open_files.raise_limit(many, 0)
    assert limit.now == (5_000 + 16 + 256, 6_000)
    open_files.raise_limit(plan(), 0)
    assert limit.now == (5_000 + 16 + 256, 6_000)


def test_a_hard_limit_too_low_is_a_sentence_with_numbers_and_ways_out(limit: Limit) -> None:
    many = {"transport": "mqtt", "devices": 10_000, "mqtt_connections": 10_000}
    with pytest.raises(UsageError, match=r"needs 10,272 open files, and the limit here is 6,000.*ulimit -n.*--workers"):
        open_files.check_files(plan(**many))
    open_files.check_files(plan(**many, workers=2))


def test_no_limit_is_none(limit: Limit) -> None:
    limit.now = (1_024, resource.RLIM_INFINITY)
    many = plan(transport="mqtt", devices=9_000, mqtt_connections=9_000)
    open_files.check_files(many)
    open_files.raise_limit(many, 0)
    assert limit.now == (9_272, resource.RLIM_INFINITY)
