"""What was seen outlives its process: lines cut anywhere, and what is told of a run that was killed."""

import json
import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.send.latency import summary
from simulator.watch.judging import Judgement
from simulator.watch.notes import ON_THE_WAY_S, Notes, recall, recalled
from simulator.watch.observations import Observations
from simulator.watch.sample import choose
from simulator.watch.summary import NOT_WATCHED, Watch
from tests.unit.simulator.cases import ManualClock
from tests.unit.simulator.scenes import BEGAN, Scene

SEEN_WELL = Watch(devices=2, state_reads=9)
Snapshot = tuple[list[list[list[float]]], float, int]


def snapshot(observations: Observations) -> Snapshot:
    """Everything that the verdict rests on."""
    grids = [grid.round(6).tolist() for one in observations.watched for grid in (one.state_at, one.stream_at)]
    return grids, observations.forgiven_until, sum(found.stream_wrong for found in observations.wrong.values())


def noted(scene: Scene, shown: list[tuple[int, int]]) -> Iterator[tuple[bytes, Snapshot]]:
    """Show one message after the other, and note each."""
    notes = Notes(scene.observations)
    for turn, (device, n) in enumerate(shown):
        one = scene.observations.watched[device]
        scene.state(one, n)
        scene.change(one, n, **({"unheard_of": 1.0} if turn == 1 else {}))
        if turn == 2:
            scene.event("lagged", 4.0, {"skipped": 1})
        yield notes.line(SEEN_WELL, until=scene.clock()), snapshot(scene.observations)


@settings(deadline=None, max_examples=15)
@given(shown=st.lists(st.tuples(st.integers(0, 1), st.integers(0, 9)), min_size=1, max_size=3))
def test_whatever_is_cut_off_the_lines_before_are_told_in_full(shown: list[tuple[int, int]]) -> None:
    scene = Scene()
    steps = list(noted(scene, shown))
    content = b"".join(line for line, _ in steps)
    told = [snapshot(Observations(choose(scene.plan), clock=ManualClock())), *(told for _, told in steps)]
    observations = Observations(choose(scene.plan), clock=ManualClock())
    for cut in range(len(content) + 1):
        for one in observations.watched:
            one.state_at[:] = one.stream_at[:] = math.inf
        observations.forgiven_until, observations.wrong = 0.0, {}
        last = recall(content[:cut], observations)
        whole = content[:cut].count(b"\n")
        assert (last is None) == (whole == 0)
        assert snapshot(observations) == told[whole], cut


@pytest.mark.parametrize("harm", [{"state": [[7], [0], [0], [1.0]]}, {"stream": [[0], [99], [0], [1.0]]},
    {"state": [[0], [0], [-1], [1.0]]}, {"state": [[0], [0], [], [1.0]]}, {"until": "soon"}, {"more": 1}])  # fmt: skip
def test_a_line_that_cannot_be_is_not_believed_nor_what_follows(harm: dict[str, object]) -> None:
    scene = Scene()
    (first, told), (second, _), (third, _) = noted(scene, [(0, 0), (0, 1), (1, 2)])
    harmed = json.dumps(json.loads(second) | harm).encode() + b"\n"
    observations = Observations(choose(scene.plan), clock=ManualClock())
    assert recall(first + harmed + third, observations) is not None
    assert snapshot(observations) == told


def after_the_kill(scene: Scene, *, until: float, has_settled: bool = False) -> tuple[Judgement, Watch]:
    """Judge by the notes of a watch that ended so many seconds after the start."""
    line = Notes(scene.observations).line(SEEN_WELL, until=BEGAN + until, has_settled=has_settled)
    return recalled(line, scene.plan, scene.ledgers, {0: BEGAN, 1: BEGAN})


def show_until(scene: Scene, until: float, dropped: set[tuple[int, int]]) -> None:
    """Let state and stream show in time what is seen before the kill, the stream all but some."""
    scene.event("reset", -1.0, {"reason": "start", "states": {}})
    for device, one in enumerate(scene.observations.watched):
        for n in np.flatnonzero(one.due + 0.05 <= until).tolist():
            scene.state(one, n)
            if (device, n) not in dropped:
                scene.change(one, n)


@settings(deadline=None, max_examples=50)
@given(
    dropped=st.sets(st.tuples(st.integers(0, 1), st.integers(0, 9)), max_size=8),
    until=st.floats(0.1, 9.9).map(lambda at: round(at, 3)),
)
def test_exactly_what_was_dropped_is_found_and_what_came_last_is_said_to_be_unwatched(
    dropped: set[tuple[int, int]], until: float
) -> None:
    scene = Scene()
    scene.acknowledge()
    show_until(scene, until, dropped)
    found, told = after_the_kill(scene, until=until)
    sure, gaps, unwatched = until - ON_THE_WAY_S, set[str](), set[str]()
    for device, one in enumerate(scene.observations.watched):
        shown = [n for n in range(10) if one.due[n] + 0.05 <= until and (device, n) not in dropped]
        for n in {*range(10)} - {*shown}:
            is_known = one.due[n] + 0.05 <= sure or n < max(shown, default=-1)
            (gaps if is_known else unwatched).add(f"{one.name} {one.time_us(n)}")
    problems = {f"{p.device} {p.time_us}" for findings in found.findings.values() for p in findings.problems}
    assert problems == gaps
    assert (told.unwatched, len(told.unwatched_examples)) == (len(unwatched), len(unwatched))
    assert told.broke_off_s == pytest.approx(until)


def test_latencies_are_of_what_was_seen_and_what_may_have_been_on_its_way_is_no_miss() -> None:
    scene = Scene()
    scene.acknowledge()
    show_until(scene, 3.0, set())
    found, _ = after_the_kill(scene, until=3.0)
    seen = found.state[0]
    in_time = sum(int((one.due + 0.05 <= 3.0).sum()) for one in scene.observations.watched)
    assert (summary([seen.latencies.counts]).count, seen.unseen) == (in_time, 0)
    assert summary([seen.latencies.counts]).max == pytest.approx(50, rel=0.01)
    late, _ = after_the_kill(scene, until=60.0)
    assert late.state[0].unseen == 20 - in_time, "by then it had to be seen"


def test_what_was_acknowledged_after_the_last_note_was_not_watched_however_long_it_was_due() -> None:
    scene = Scene()
    scene.acknowledge()
    show_until(scene, 3.0, set())
    found, told = after_the_kill(scene, until=60.0)
    assert all(findings.is_clean for findings in found.findings.values())
    assert told.unwatched == sum(int((one.due + 0.05 > 3.0).sum()) for one in scene.observations.watched) > 0


def test_a_run_that_came_to_its_end_is_judged_as_it_was_then() -> None:
    scene = Scene()
    scene.acknowledge()
    show_until(scene, 5.0, {(0, 3), (1, 9)})
    live = scene.judge(now=5.0)
    found, told = after_the_kill(scene, until=5.0, has_settled=True)
    assert found.findings == live.findings
    assert found.state[0].seen() == live.state[0].seen()
    assert told == replace(SEEN_WELL)
    assert (found.unwatched, told.broke_off_s) == (0, None)


@pytest.mark.parametrize("content", [b"", b"{", b"null\n", b"\n", b"\xff\n"])
def test_without_notes_nobody_watched(content: bytes) -> None:
    scene = Scene()
    assert recalled(content, scene.plan, scene.ledgers, {0: BEGAN}) == (Judgement(), NOT_WATCHED)
    line = Notes(scene.observations).line(SEEN_WELL, until=BEGAN)
    assert recalled(line, scene.plan, scene.ledgers, {})[1] is NOT_WATCHED, "no part began"
