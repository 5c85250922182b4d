"""How a run went, second by second: rows that add up, within a bound."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.core.counts import add_up
from simulator.send.latency import Latencies, buckets, percentiles
from simulator.send.timeline import MAX_ROWS, Recorder, Row, Timeline, merged
from tests.fakes.waiting import until
from tests.unit.simulator.cases import ManualClock, lane


@dataclass
class FakeLoad:
    """What the recorder reads of a load."""

    latencies: Latencies = field(default_factory=Latencies)
    errors: Counter[str] = field(default_factory=Counter)
    pace: Any = field(default_factory=lambda: SimpleNamespace(offered=0))
    ledger: Any = field(default_factory=lambda: SimpleNamespace(lane=lane(), acknowledged=0))
    script: Any = field(default_factory=lambda: SimpleNamespace(score=SimpleNamespace(wrong={})))


def total(timeline: Timeline) -> Row:
    found = Row()
    for row in timeline.rows:
        add_up(found, row)
    return found


@given(st.lists(st.tuples(st.integers(0, 20_000), st.integers(1, 50)), max_size=40))
def test_nothing_is_lost_however_long_a_run_is_and_rows_stay_bounded(counts: list[tuple[int, int]]) -> None:
    one, other = Timeline(), Timeline()
    for at, (second, count) in enumerate(counts):
        row = Row(acknowledged=count, errors={"x": 1}, latencies={count: 1})
        (one, other)[at % 2].put(second, row)
    both = merged([{"http": one}, {"http": other}]).get("http", Timeline())
    assert len(both.rows) <= MAX_ROWS
    assert len(both.rows) * both.width >= max((second for second, _ in counts), default=0)
    found = total(both)
    assert found.acknowledged == sum(count for _, count in counts)
    assert found.errors.get("x", 0) == sum(found.latencies.values()) == len(counts)


def test_transports_have_rows_of_the_same_time() -> None:
    long, short = Timeline(), Timeline()
    long.put(MAX_ROWS, Row(offered=1))
    short.put(3, Row(offered=1))
    both = merged([{"http": long, "mqtt": short}])
    assert (both["http"].width, both["mqtt"].width) == (2, 2)
    assert [row.offered for row in both["mqtt"].rows] == [0, 1]


@given(st.lists(st.floats(1e-6, 100), min_size=1, max_size=200))
def test_percentiles_are_right_to_a_few_per_cent(seconds: list[float]) -> None:
    found = percentiles(buckets(seconds))
    for name, share in (("p50", 50), ("p99", 99)):
        exact = np.percentile(seconds, share, method="inverted_cdf") * 1_000
        assert found[name] == pytest.approx(exact, rel=0.03)


def test_a_row_in_which_nothing_was_answered_has_no_percentiles() -> None:
    assert Timeline(rows=[Row(offered=5)]).to_json() == {
        "seconds": 1,
        "rows": [{"offered": 5, "acknowledged": 0, "errors": {}, "latency_ms": {}, "state_ms": {}, "stream_ms": {}}],
    }


async def test_a_recorder_reads_differences_and_a_stall_is_an_empty_row() -> None:
    clock, load = ManualClock(), FakeLoad()
    sleeps = 0

    async def sleep(seconds: float) -> None:
        nonlocal sleeps
        sleeps += 1
        if sleeps > 3:
            await asyncio.Event().wait()
        clock.now += seconds + (2.0 if sleeps == 2 else 0.0)  # the second sleep ends two seconds late
        load.ledger.acknowledged += 10
        load.pace.offered += 1
        load.latencies.record(0.1)

    recorder = Recorder([load], clock=clock, sleep=sleep)  # type: ignore[list-item]
    task = asyncio.create_task(recorder.record(), name="test.record")
    await until(lambda: sleeps > 3)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    load.errors["overloaded"] += 2
    clock.now += 0.2
    recorder.finish()
    rows = recorder.timelines["http"].rows
    assert [row.acknowledged for row in rows] == [10, 0, 0, 10, 10, 0]
    assert rows[-1].errors == {"overloaded": 2}
    assert sum(rows[3].latencies.values()) == 1
    assert rows[3].offered == load.ledger.lane.readings
