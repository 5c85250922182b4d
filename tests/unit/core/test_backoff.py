"""The waiting between tries."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.backoff import equal_jitter, exponential, full_jitter

ATTEMPTS, BASES, CAPS = st.integers(0, 10_000), st.floats(0.001, 10), st.floats(0.001, 100)


@given(ATTEMPTS, BASES, CAPS)
def test_a_wait_doubles_up_to_its_cap(attempt: int, base: float, cap: float) -> None:
    assert exponential(attempt, base=base, cap=cap) == min(cap, base * 2 ** min(attempt, 40))


@given(st.integers(0, 10_000), st.floats(0.001, 10), st.floats(0.001, 100), st.integers())
def test_jitter_fills_the_span_and_never_leaves_it(attempt: int, base: float, cap: float, seed: int) -> None:
    rng = Random(seed)
    span = min(cap, base * 2 ** min(attempt, 40))
    waits = [full_jitter(attempt, base=base, cap=cap, rng=rng) for _ in range(50)]
    assert all(0 <= wait <= span for wait in waits)
    assert max(waits) > span / 4
    assert min(waits) < span * 3 / 4


@given(ATTEMPTS, BASES, CAPS, st.integers())
def test_equal_jitter_keeps_to_the_upper_half(attempt: int, base: float, cap: float, seed: int) -> None:
    rng = Random(seed)
    span = exponential(attempt, base=base, cap=cap)
    waits = [equal_jitter(attempt, base=base, cap=cap, rng=rng) for _ in range(50)]
    assert all(span / 2 <= wait <= span for wait in waits)
    assert max(waits) > span * 5 / 8
    assert min(waits) < span * 7 / 8
