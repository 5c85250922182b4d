"""What follows from observations: latencies from the intended time, gaps that cannot be excused, and none that can."""

import json
import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.plan.scenario import FaultRates, Phase
from simulator.send.latency import Latencies, Percentiles, summary
from simulator.send.ledger import Ledger
from simulator.send.results import Seen
from simulator.verify.findings import Findings
from simulator.watch.stream import SseEvent
from tests.unit.simulator.scenes import BEGAN, METRICS, Scene


@pytest.fixture
def scene() -> Scene:
    made = Scene()
    made.acknowledge()
    return made


def percentiles(seen: Seen) -> Percentiles:
    return summary([seen.latencies])


def named(found: Findings) -> set[tuple[str, str]]:
    return {(problem.trouble, problem.device) for problem in found.problems}


def test_all_that_is_shown_in_time_is_measured_and_nothing_is_missed(scene: Scene) -> None:
    scene.show_all()
    found, total = scene.judge(), scene.findings()
    assert total.is_clean
    assert total.stream_checked == 2 * 10 * len(METRICS), "each could be told from the next"
    state, stream = found.state[0].seen(), found.stream[0].seen()
    assert (state.unseen, stream.unseen) == (0, 0)
    assert percentiles(state).count == percentiles(stream).count == 20
    assert percentiles(state).max == pytest.approx(50, rel=0.01)
    assert percentiles(stream).max == pytest.approx(10, rel=0.01)


def test_a_message_that_a_newer_one_hides_took_until_that_was_seen(scene: Scene) -> None:
    for one in scene.observations.watched:
        for n in (4, 9):
            scene.state(one, n)
    seen = scene.judge().state[0].seen()
    took = Latencies()
    for one in scene.observations.watched:
        for n in range(10):
            took.record(one.due[4 if n <= 4 else 9] + 0.05 - one.due[n])
    assert (percentiles(seen), seen.unseen) == (summary([took.counts]), 0)


def test_what_is_not_seen_until_the_end_took_that_long_and_is_named(scene: Scene) -> None:
    scene.state(scene.first, 9)
    seen, other = scene.judge(now=60.0).state[0].seen(), scene.observations.watched[1]
    assert (seen.unseen, {example.split()[0] for example in seen.examples}) == (10, {other.name})
    assert percentiles(seen).max == pytest.approx(1_000 * (60 - other.due[0]), rel=0.01)


def test_each_phase_has_its_own() -> None:
    scene = Scene(phases=(Phase(name="slow", seconds=2), Phase(name="fast", seconds=3)))
    scene.acknowledge()
    scene.event("reset", -1.0, {"reason": "start", "states": {}})
    for one in scene.observations.watched:
        for n in range(10):
            scene.change(one, n, late=0.3 if one.due[n] < 2 else 0.1)
    slow, fast = (summary([phase.counts]) for phase in scene.judge().stream[0].phases)
    assert (slow.count, fast.count) == (8, 12)
    assert slow.p50 == pytest.approx(300, rel=0.01)
    assert fast.p50 == pytest.approx(100, rel=0.01)


@pytest.mark.parametrize("n", [0, 4, 9])
def test_a_message_left_out_is_a_gap_of_that_device_alone(scene: Scene, n: int) -> None:
    scene.show_all(but=lambda one, at: one is scene.first and at == n)
    total = scene.findings()
    assert (total.stream_gaps, total.stream_wrong) == (len(METRICS), 0)
    assert named(total) == {("stream gap", scene.first.name)}
    assert {problem.time_us for problem in total.problems} == {scene.first.time_us(n)}
    assert {problem.metric for problem in total.problems} == set(METRICS)


def test_what_may_be_in_the_same_commit_as_a_newer_one_is_not_missed(scene: Scene) -> None:
    """The state did not show it before the next was due: so both may have been stored at once."""
    scene.event("reset", -1.0, {"reason": "start", "states": {}})
    for one in scene.observations.watched:
        for n in range(10):
            scene.state(one, n, late=0.6)
            if n % 2:
                scene.change(one, n)
    total = scene.findings()
    assert total.is_clean
    assert total.stream_checked == 2 * len(METRICS), "the newest of each series"


def test_the_newest_is_never_excused_and_the_rest_is_by_a_reset(scene: Scene) -> None:
    scene.show_all(but=lambda *_: True)
    scene.event("reset", 6.0, {"reason": "lost", "states": {scene.first.name: scene.shown(scene.first, 9)}})
    total = scene.findings()
    other = scene.observations.watched[1]
    assert named(total) == {("stream gap", other.name)}
    assert total.stream_gaps == len(METRICS)
    assert scene.observations.resets == Counter(start=1, lost=1)


def test_lagged_excuses_what_was_sent_before(scene: Scene) -> None:
    scene.show_all(but=lambda one, n: one is scene.first and n in {2, 7})
    scene.event("lagged", 3.0, {"skipped": 4})
    total = scene.findings()
    assert scene.observations.skipped == 4
    assert {problem.time_us for problem in total.problems} == {scene.first.time_us(7)}


def test_an_unanswered_newer_one_may_take_the_place_of_the_newest() -> None:
    scene = Scene()
    scene.acknowledge()
    lane, one = scene.ledgers[0].lane, scene.first
    scene.ledgers = [Ledger(lane)]
    last = int(lane.post_of(np.array([one.device]), np.array([9]))[0])
    for post in range(lane.posts):
        scene.ledgers[0].write_sent(post)
        if post != last:
            scene.ledgers[0].write_acknowledged(post, "db")
    scene.show_all(but=lambda each, n: each is one and n == 8)
    scene.observations.watched[0].state_at[:] = math.inf
    assert scene.findings().is_clean


@pytest.mark.parametrize(
    ("other", "says"),
    [({"event": "invented"}, "never said"), ({"unknown": 1.0}, "never said"), ({}, "again")],
)
def test_what_was_never_said_or_is_told_again_is_wrong(scene: Scene, other: dict[str, Any], says: str) -> None:
    scene.show_all()
    scene.events -= not other
    scene.change(scene.observations.watched[1], 9, **other)
    total = scene.findings()
    assert named(total) == {("stream wrong", scene.observations.watched[1].name)}
    assert all(says in problem.detail for problem in total.problems)


def test_what_was_refused_must_not_be_shown(scene: Scene) -> None:
    scene.show_all()
    lane = scene.ledgers[0].lane
    ledger = scene.ledgers[0] = Ledger(lane)
    refused = int(lane.post_of(np.array([scene.first.device]), np.array([3]))[0])
    for post in range(lane.posts):
        if post == refused:
            ledger.write_refused(post, Counter(too_old=2))
        else:
            ledger.write_acknowledged(post, "db")
    total = scene.findings()
    assert named(total) == {("stream wrong", scene.first.name)}
    assert total.stream_wrong == len(METRICS)
    assert all("refused" in problem.detail for problem in total.problems)


@pytest.mark.parametrize("mqtt", [0.0, 1.0])
def test_late_and_refused_messages_confuse_nothing(mqtt: float) -> None:
    """Late ones are shown when they are stored, and hidden in the state; refused ones are not shown at all."""
    scene = Scene(faults=FaultRates(late=0.2, out_of_order=0.2), mqtt=mqtt)
    scene.acknowledge()
    scene.event("reset", -1.0, {"reason": "start", "states": {}})
    for one in scene.observations.watched:
        newest = -1
        for n in np.argsort(one.due, kind="stable")[: np.isfinite(one.due).sum()].tolist():
            newest = max(newest, n)
            scene.clock.now = BEGAN + one.due[n] + 0.05
            scene.observations.take_states({one.name: scene.shown(one, newest)})
            scene.change(one, n)
    found = scene.judge()
    assert scene.findings().is_clean
    assert sum(seen.unseen for seen in found.state.values()) == 0
    counts = [percentiles(seen.seen()).count for seen in found.state.values()]
    assert 0 < sum(counts) < 20, "what is overtaken on purpose is not waited for"
    assert max(percentiles(seen.seen()).max for seen in found.state.values()) == pytest.approx(50, rel=0.01)


@given(dropped=st.sets(st.tuples(st.integers(0, 1), st.integers(0, 9)), max_size=8))
def test_exactly_what_is_dropped_is_found(dropped: set[tuple[int, int]]) -> None:
    scene = Scene()
    scene.acknowledge()
    scene.show_all(but=lambda one, n: (scene.observations.watched.index(one), n) in dropped)
    watched = scene.observations.watched
    found = {(problem.device, problem.time_us) for problem in scene.findings().problems}
    assert found == {(watched[i].name, watched[i].time_us(n)) for i, n in dropped}


@given(text=st.one_of(st.text(), st.recursive(st.none() | st.booleans() | st.floats() | st.text(), lambda inner:
    st.lists(inner) | st.dictionaries(st.sampled_from(["changes", "states", "device", "values", "ts", "x"]), inner)
).map(json.dumps)), kind=st.sampled_from(["change", "reset", "lagged", "message"]))  # fmt: skip
def test_no_event_is_believed_or_breaks_anything(kind: str, text: str) -> None:
    scene = Scene()
    scene.observations.take_event(SseEvent(kind, text, "1"))
    assert all(np.isinf(one.stream_at).all() for one in scene.observations.watched)


def test_a_message_that_was_never_sent_stands_in_nobodys_way() -> None:
    scene = Scene()
    lane, one = scene.ledgers[0].lane, scene.first
    unsent = int(lane.post_of(np.array([one.device]), np.array([4]))[0])
    for post in range(lane.posts):
        if post != unsent:
            scene.ledgers[0].write_acknowledged(post, "db")
    scene.event("reset", -1.0, {"reason": "start", "states": {}})
    for n in {*range(10)} - {4}:
        scene.state(one, n, late=0.6 if n == 3 else 0.05)
    for each in scene.observations.watched:
        for n in {*range(10)} - ({3, 4} if each is one else set()):
            scene.change(each, n)
    assert {problem.time_us for problem in scene.findings().problems} == {one.time_us(3)}


def test_a_reading_that_was_refused_does_not_hide_that_its_neighbour_is_missing() -> None:
    scene = Scene()
    lane, one = scene.ledgers[0].lane, scene.first
    partly = int(lane.post_of(np.array([one.device]), np.array([3]))[0])
    for post in range(lane.posts):
        if post == partly:
            scene.ledgers[0].write_partly(post, Counter(bad_text=1), refused=[1])
        else:
            scene.ledgers[0].write_acknowledged(post, "db")
    scene.show_all(but=lambda each, n: each is one and n == 3)
    one.state_at[3, 1] = math.inf
    (problem,) = scene.findings().problems
    assert (problem.metric, problem.time_us) == (METRICS[0], one.time_us(3))


def test_what_is_seen_again_was_seen_before(scene: Scene) -> None:
    """An answer that overtakes another shows older values again; so does a stream that begins anew."""
    scene.show_all()
    for n in (8, 9):
        scene.state(scene.first, n, late=2.0)
    scene.event("reset", 8.0, {"reason": "lost", "states": {scene.first.name: scene.shown(scene.first, 9)}})
    found = scene.judge()
    assert percentiles(found.state[0].seen()).max == pytest.approx(50, rel=0.01)
    assert percentiles(found.stream[0].seen()).max == pytest.approx(10, rel=0.01)
