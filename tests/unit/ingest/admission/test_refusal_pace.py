"""The pace of refusals: at once while they are few, later while they are many, and never much later."""

from random import Random

import pytest

from gateway.ingest.admission.refusal_pace import MOST_SECS, RefusalPace


def test_a_few_are_not_held_back() -> None:
    pace = RefusalPace(100, Random(1))
    assert [pace.wait(1000.0 + i / 100) for i in range(500)] == [0.0] * 500
    assert [pace.wait(2000.0) for _ in range(100)] == [0.0] * 100, "a burst after a quiet second"


def test_many_are_held_back_each_a_little_longer_and_then_apart_from_each_other() -> None:
    pace = RefusalPace(100, Random(1))
    waits = [pace.wait(1000.0) for _ in range(1000)]
    assert waits[:100] == pytest.approx([0.0] * 100)
    assert waits[100:150] == pytest.approx([(i + 1) / 100 for i in range(50)])
    late = waits[310:]
    assert MOST_SECS / 2 <= min(late) < 0.6 * MOST_SECS
    assert 0.9 * MOST_SECS < max(late) <= MOST_SECS
    assert pace.wait(1000.0 + MOST_SECS + 1.5) == 0.0, "and all is well again soon after"
