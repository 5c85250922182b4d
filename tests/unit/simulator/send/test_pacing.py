import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.send.pacing import Pace
from tests.unit.simulator.cases import ManualClock


def _pace(clock: ManualClock, *, rate: float = 10.0, posts: int = 100, patience: float = 5.0) -> Pace:
    return Pace(rate, posts, patience=patience, clock=clock, sleep=clock.sleep)


def _number(pace: Pace) -> int | None:
    turn = pace.claim()
    return None if turn is None else turn.number


async def test_an_idle_sender_sends_each_post_at_its_time() -> None:
    clock = ManualClock()
    pace = _pace(clock, posts=30)
    times = []
    while (turn := pace.claim()) is not None:
        await pace.arrival(turn)
        times.append(clock.now)
    assert times == pytest.approx([100 + i / 10 for i in range(30)])


async def test_a_server_that_stalls_does_not_delay_what_is_intended() -> None:
    clock = ManualClock()
    pace = _pace(clock)
    first = pace.claim()
    assert first is not None
    clock.now += 2.0  # the answer takes two seconds
    second = pace.claim()
    assert second is not None
    assert second.due == pytest.approx(100.1)
    assert await pace.arrival(second) == 0.0  # already due: not the generator's fault
    assert clock.now - second.due == pytest.approx(1.9)  # and the latency will show it


async def test_a_generator_that_wakes_late_is_told_so() -> None:
    clock = ManualClock()

    async def oversleep(seconds: float) -> None:
        clock.now += seconds + 0.25

    pace = Pace(10.0, 100, patience=5.0, clock=clock, sleep=oversleep)
    pace.claim()
    turn = pace.claim()
    assert turn is not None
    assert await pace.arrival(turn) == pytest.approx(0.25)


def test_backlog_counts_what_is_due_and_not_taken() -> None:
    clock = ManualClock()
    pace = _pace(clock)
    clock.now += 1.0
    assert (pace.offered, pace.backlog) == (11, 11)
    pace.claim()
    assert (pace.offered, pace.backlog) == (11, 10)


def test_what_nobody_sends_in_time_is_passed_over_and_counted() -> None:
    clock = ManualClock()
    pace = _pace(clock, patience=5.0)
    clock.now += 7.05
    assert _number(pace) == 20  # 0…19 were due more than five seconds ago
    assert pace.unsent == 20


def test_a_sender_that_never_comes_leaves_the_whole_schedule_unsent() -> None:
    clock = ManualClock()
    pace = _pace(clock, posts=10)
    clock.now += 1_000
    assert _number(pace) is None
    assert pace.unsent == 10
    assert pace.backlog == 0


def test_stop_hands_out_no_more() -> None:
    clock = ManualClock()
    pace = _pace(clock)
    clock.now += 3
    pace.claim()
    pace.stop()
    assert _number(pace) is None
    assert pace.offered == 1


def test_the_schedule_begins_at_start() -> None:
    clock = ManualClock()
    pace = _pace(clock)
    clock.now += 3
    pace.start()
    assert pace.offered == 1
    turn = pace.claim()
    assert turn is not None
    assert turn.due == clock.now


@given(st.lists(st.floats(0, 3), max_size=60), st.floats(0.5, 50), st.integers(1, 80))
def test_every_post_is_handed_out_once_or_unsent(pauses: list[float], rate: float, posts: int) -> None:
    clock = ManualClock()
    pace = _pace(clock, rate=rate, posts=posts, patience=1.0)
    taken = []
    for pause in pauses:
        clock.now += pause
        number = _number(pace)
        taken += [] if number is None else [number]
    clock.now += 10_000
    assert _number(pace) is None
    assert taken == sorted(set(taken))
    assert len(taken) + pace.unsent == posts


async def test_a_grain_makes_posts_a_little_late_together_and_never_early() -> None:
    clock = ManualClock()
    pace = Pace(10_000.0, 100, patience=5.0, clock=clock, sleep=clock.sleep, grain=0.002)
    sleeps, times = 0, []
    while (turn := pace.claim()) is not None:
        sleeps += await pace.arrival(turn) > 0
        times.append(clock.now - turn.due)
    assert len(times) == 100
    assert all(-1e-9 <= late <= 0.002 for late in times)
    assert sleeps <= 100 / 19
