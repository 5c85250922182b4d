"""Readings that a target says it dropped, without saying which: found by what is not there, and nothing beyond it."""

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.core.times import time_of
from simulator.send.ledger import Ledger, Outcome
from simulator.send.loads.truth import STORED, UNDERSTOOD_AS_STORED, Expected, judge
from simulator.send.receipts import Answer
from simulator.send.target import Column
from simulator.verify.audit import Audit
from simulator.verify.findings import DroppedFindings, DroppedPosts, Findings
from tests.unit.simulator.cases import METRICS, fleet, lane

LANE = lane(devices=4, messages=2, posts=10)
Cell = tuple[int, int, int]
"""Device, message of it, metric."""


def post_of(cell: Cell) -> int:
    return int(LANE.post_of(np.array([cell[0]]), np.array([cell[1]]))[0])


def take(audit: Audit, cells: list[Cell]) -> None:
    """Let these readings be stored."""
    for device, n, metric in cells:
        what = METRICS[metric]
        value = what.values(fleet().codes(metric, np.array([device]), np.array([n])))
        time_us = np.array([LANE.time_ms(n) * 1_000])
        audit.take(Column(what.name, next(iter(what.stored_as)), np.array([device]), time_us, value))


@settings(deadline=None, max_examples=40)
@given(
    said=st.dictionaries(st.integers(0, 9), st.integers(1, LANE.readings), max_size=10),
    missing=st.sets(st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(0, 3))),
    portion=st.integers(1, 4),
)
def test_what_is_not_there_is_dropped_as_far_as_that_was_said_and_lost_beyond(
    said: dict[int, int], missing: set[Cell], portion: int
) -> None:
    ledger = Ledger(LANE)
    for post in range(LANE.posts):
        if post in said:
            ledger.write_dropped(post, Counter(partial_write=said[post]))
        else:
            ledger.write_acknowledged(post, "target")
    dropped, told, findings = DroppedPosts(ledger), DroppedFindings(), Findings()
    for first in range(0, 4, portion):
        devices = range(first, min(first + portion, 4))
        audit = Audit(fleet(), ledger, first=first, count=len(devices))
        take(audit, [(d, n, m) for d in devices for n in range(5) for m in range(4) if (d, n, m) not in missing])
        findings.add(audit.close(stored=True))
        dropped.take(audit.missing_of_dropped())
    findings.add(dropped.close(told))
    gone = Counter(map(post_of, missing))
    assert told.readings == sum(min(gone[post], said[post]) for post in said)
    assert findings.lost == sum(max(0, count - said.get(post, 0)) for post, count in gone.items())
    assert (findings.wrong, findings.unexpected) == (0, 0)
    named = {
        f"{fleet().name(d)} {METRICS[m].name} {time_of(LANE.time_ms(n) * 1_000)}"
        for d, n, m in missing
        if post_of((d, n, m)) in said
    }
    assert set(told.examples) == named, "a hundred of them at most, and there are 80 readings"


def test_the_ledger_counts_them_as_refused_and_not_those_of_a_post_that_was_not_settled() -> None:
    kept: list[bytes] = []
    ledger = Ledger(LANE, keep_refused=kept.append)
    ledger.write_sent(3)
    ledger.write_dropped(3, Counter(partial_write=4))
    ledger.write_acknowledged(4, "target")
    assert (ledger.acknowledged, ledger.refused, ledger.unacknowledged) == (12, 4, 0)
    assert ledger.codes == {"partial_write": 4}
    numbers = np.frombuffer(b"".join(kept), dtype=np.int64).tolist()
    killed = bytearray(LANE.posts)
    killed[3] = Outcome.SENT
    again = Ledger(LANE, outcomes=killed, refused=numbers)
    assert (again.dropped, again.refused, again.unacknowledged) == ({}, 0, 8)


def test_it_is_no_wrong_answer_but_to_what_is_stored_already_or_to_a_gateway() -> None:
    answer = Answer.dropped(400, "partial_write", readings=4)
    assert judge(UNDERSTOOD_AS_STORED, answer) == ""
    assert judge(Expected(status=None, is_again=True), answer) == "400 partial_write"
    assert judge(STORED, answer) == "400 partial_write"
