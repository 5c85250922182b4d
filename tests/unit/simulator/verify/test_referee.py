from dataclasses import replace

import pytest

from simulator.core.times import to_us
from simulator.verify.findings import Findings


@pytest.mark.parametrize(
    ("ts", "us"),
    [
        ("2026-11-22T12:03:20.123000Z", 1_795_349_000_123_000),
        ("2026-11-22T13:03:20.123+01:00", 1_795_349_000_123_000),
        (1_795_349_000_123, 1_795_349_000_123_000),
        ("2026-11-22T12:03:20", None),
        ("soon", None),
        (True, None),
        (None, None),
        (1.5, None),
    ],
)
def test_times_of_states(ts: object, us: int | None) -> None:
    assert to_us(ts) == us


def test_findings_keep_the_first_problems_only() -> None:
    total = Findings()
    for _ in range(3):
        total.add(replace(Findings(lost=2)))
    assert total.lost == 6
    assert not total.is_clean
