import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from simulator.plan.fleet import Lane
from tests.unit.simulator.cases import START_MS, lane

lanes = st.builds(
    lambda devices, runs, run, posts, first: lane(
        devices=devices, messages=runs * run, run=run, posts=posts, first=first
    ),
    st.integers(1, 9),
    st.integers(1, 5),
    st.integers(1, 4),
    st.integers(1, 30),
    st.integers(0, 100),
)


@given(lanes)
def test_every_message_is_said_once_and_found_in_its_post(given_lane: Lane) -> None:
    numbers = given_lane.messages_of(0, given_lane.posts)
    device, n = given_lane.said_by(numbers)
    assert len(set(zip(device.tolist(), n.tolist(), strict=True))) == len(numbers)
    assert (given_lane.post_of(device, n) == numbers // given_lane.messages).all()
    assert given_lane.first <= device.min()
    assert device.max() < given_lane.first + given_lane.devices
    assert n.max() < given_lane.depth


@given(lanes)
def test_a_device_speaks_without_gaps(given_lane: Lane) -> None:
    device, n = given_lane.said_by(given_lane.messages_of(0, given_lane.posts))
    for one in np.unique(device):
        assert n[device == one].tolist() == list(range((device == one).sum()))


@given(lanes)
def test_no_message_is_measured_after_it_is_due(given_lane: Lane) -> None:
    numbers = given_lane.messages_of(0, given_lane.posts)
    _, n = given_lane.said_by(numbers)
    round_ms = numbers // given_lane.run // given_lane.devices * given_lane.run * given_lane.step_ms
    assert (given_lane.time_ms(n) <= START_MS + round_ms).all()


def test_times_of_a_device_rise_by_the_step() -> None:
    times = [lane(run=2).time_ms(n) for n in range(4)]
    assert times == [START_MS - 100, START_MS, START_MS + 100, START_MS + 200]
