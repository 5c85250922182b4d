import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.core.errors import UsageError
from simulator.plan.scenario import Phase
from simulator.plan.schedule import Timetable

factors = st.floats(0, 3).map(lambda x: round(x, 2))
phases = st.lists(
    st.builds(Phase, name=st.just("p"), seconds=st.floats(0.5, 30), begin=factors, end=factors), min_size=1, max_size=4
).filter(lambda them: any(phase.begin + phase.end for phase in them))


@given(phases, st.floats(1, 500))
def test_posts_are_due_in_order_and_none_after_the_end(given_phases: list[Phase], rate: float) -> None:
    table = Timetable(tuple(given_phases), rate=rate)
    dues = [table.due(number) for number in range(min(table.posts, 2_000))]
    assert dues == sorted(dues)
    assert dues[0] >= 0
    assert table.due(table.posts - 1) <= sum(phase.seconds for phase in given_phases) + 1e-6


@given(phases, st.floats(1, 500), st.floats(0, 1))
def test_what_is_due_by_a_time_is_what_was_due_before_it(given_phases: list[Phase], rate: float, part: float) -> None:
    table = Timetable(tuple(given_phases), rate=rate)
    number = int(part * (table.posts - 1))
    due = table.due(number)
    assert table.count(due + 1e-6) >= number + 1 or number == table.posts - 1
    assert table.count(due - 1e-3) <= number + 1


def test_a_ramp_sends_half_of_what_a_steady_phase_does() -> None:
    ramp = Timetable((Phase(name="up", seconds=10, begin=0, end=1),), rate=100)
    assert ramp.posts == 500
    assert ramp.due(125) == pytest.approx(5.0)
    assert ramp.count(5.0) == pytest.approx(125, abs=1)


def test_posts_know_their_phase() -> None:
    table = Timetable(
        (Phase(name="a", seconds=1), Phase(name="off", seconds=5, begin=0, end=0), Phase(name="b", seconds=1)), rate=10
    )
    assert [table.phase_of(number) for number in (0, 9, 10, 19, 99)] == [0, 0, 2, 2, 2]
    assert table.due(10) == 6.0


def test_one_steady_phase_is_a_steady_rate() -> None:
    table, steady = Timetable((Phase(name="all", seconds=100),), rate=33.3), Timetable(rate=33.3)
    for number in range(0, 3_000, 7):
        assert table.due(number) == pytest.approx(steady.due(number)) == pytest.approx(number / 33.3)
    assert (steady.count(-0.1), steady.count(0.0), steady.count(10.0), steady.phase_of(10**9)) == (0, 1, 334, 0)


def test_phases_in_which_nothing_is_sent_are_refused() -> None:
    with pytest.raises(UsageError, match="send nothing"):
        Timetable((Phase(name="off", seconds=5, begin=0, end=0),), rate=10)
