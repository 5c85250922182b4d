"""The clock that never goes back: a clock of the wall that is set to and fro beneath it."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.clock import ForwardClock, SystemClock
from tests.fakes.clock import ManualClock

DAY_SECS = 86_400


class Ticks:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.ns = 5

    def __call__(self) -> int:
        return self.ns

    def advance(self, secs: float) -> None:
        self.ns += round(secs * 1e9)


def test_what_has_expired_stays_so_when_the_clock_is_set_back_and_goes_on_expiring() -> None:
    wall, ticks = ManualClock(), Ticks()
    forward = ForwardClock(wall, monotonic_ns=ticks)
    noon = forward.now_us()
    wall.advance(-DAY_SECS)
    ticks.advance(10)
    assert forward.now_us() == noon + 10_000_000
    ticks.advance(3600)
    assert forward.now_us() == noon + 3_610_000_000, "an hour is an hour, whatever the wall says"
    wall.advance(DAY_SECS + 7200)
    assert forward.now_us() == noon + 7_200_000_000


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(0, 1e4))))
def test_it_never_goes_back_and_never_stands_still(steps: list[tuple[float, float]]) -> None:
    wall, ticks = ManualClock(), Ticks()
    forward = ForwardClock(wall, monotonic_ns=ticks)
    for jump, secs in steps:
        before, since = forward.now_us(), ticks.ns
        wall.advance(jump + secs)
        ticks.advance(secs)
        assert forward.now_us() >= max(wall.now_us(), before + (ticks.ns - since) // 1000 - 1)


def test_by_default_it_is_this_machine_s() -> None:
    wall = SystemClock()
    assert abs(ForwardClock(wall).now_us() - wall.now_us()) < 10_000_000
