"""Ctrl-C: nothing more is sent, the verdict is on what was, says that it was not the whole run, and meets nothing."""

import pytest

from simulator.send.pacing import LONGEST_SLEEP_S, Pace
from tests.unit.simulator.cases import ManualClock


async def test_whoever_waits_for_a_turn_hears_that_it_is_void() -> None:
    clock = ManualClock()
    pace = Pace(0.01, 100, patience=5.0, clock=clock)
    pace.claim()
    turn = pace.claim()
    assert turn is not None
    slept = clock.now

    async def stop_then(seconds: float) -> None:
        clock.now += seconds
        pace.stop()

    pace._sleep = stop_then
    assert await pace.arrival(turn) == 0.0
    assert clock.now - slept == pytest.approx(LONGEST_SLEEP_S)
    assert pace.takes_back(turn)
    assert pace.claim() is None
    clock.now += 1_000
    assert pace.offered == 1
    assert not await pace.rest(10.0)
