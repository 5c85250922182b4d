from collections import Counter
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.plan.fleet import Lane
from simulator.send.ledger import Ledger
from simulator.send.target import Column
from simulator.verify.audit import Audit, is_same
from simulator.verify.findings import MAX_PROBLEMS, Findings
from simulator.verify.referee import portions
from tests.unit.simulator.cases import METRICS, fleet, lane

LANE = lane(devices=3, messages=2, posts=6)  # four messages of each device
Cell = tuple[int, int, int]


def _acknowledged(given_lane: Lane = LANE) -> Ledger:
    ledger = Ledger(given_lane)
    for post in range(given_lane.posts):
        ledger.write_sent(post)
        ledger.write_acknowledged(post, "db")
    return ledger


def _columns(
    given_lane: Lane, *, without: AbstractSet[Cell] = frozenset(), first: int = 0, count: int = 3
) -> Iterator[Column]:
    """All that the lane says of some devices, as a database would show it."""
    device, n = given_lane.said_by(given_lane.messages_of(0, given_lane.posts))
    ours = (device >= first) & (device < first + count)
    for i, metric in enumerate(METRICS):
        kept = ours & np.array([(d, k, i) not in without for d, k in zip(device.tolist(), n.tolist(), strict=True)])
        values = metric.values(fleet().codes(i, device[kept], n[kept]))
        stored = values.astype(np.float64) if metric.kind == "bool" else values
        times = np.asarray(given_lane.time_ms(n[kept])) * 1_000
        yield Column(metric.name, metric.kind, device[kept], times, stored)


def _audit(ledger: Ledger, columns: Iterator[Column], *, first: int = 0, count: int = 3) -> Findings:
    audit = Audit(fleet(), ledger, first=first, count=count)
    for column in columns:
        audit.take(column)
    return audit.close(stored=True)


def _one(metric: int, device: int, time_ms: int, value: Any, *, kind: str | None = None) -> Column:
    what = METRICS[metric]
    return Column(
        what.name,
        kind or what.kind,
        np.array([device]),
        np.array([time_ms * 1_000]),
        np.array([value], dtype=object if isinstance(value, str) else np.float64),
    )


def test_all_there() -> None:
    findings = _audit(_acknowledged(), _columns(LANE))
    assert findings.is_clean
    assert findings.stored == LANE.posts * LANE.readings


@given(st.sets(st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 3)), max_size=30))
def test_exactly_what_is_missing_is_lost(missing: set[Cell]) -> None:
    findings = _audit(_acknowledged(), _columns(LANE, without=missing))
    assert findings.lost == len(missing)
    assert findings.stored == LANE.posts * LANE.readings - len(missing)
    named = {(p.device, p.metric, p.time_us) for p in findings.problems}
    wanted = {(fleet().name(d), METRICS[m].name, LANE.time_ms(n) * 1_000) for d, n, m in missing}
    assert named == wanted if len(wanted) <= MAX_PROBLEMS else named < wanted


@pytest.mark.parametrize(
    ("metric", "value"),
    [(0, 99.25), (0, float("nan")), (2, 0.5), (3, "2.3.7 "), (3, "")],
)
def test_another_value_is_wrong_even_beside_the_right_one(metric: int, value: Any) -> None:
    columns = [*_columns(LANE), _one(metric, 1, LANE.time_ms(2), value)]
    findings = _audit(_acknowledged(), iter(columns))
    assert (findings.wrong, findings.duplicated, findings.lost) == (1, 1, 0)
    assert {p.trouble for p in findings.problems} == {"wrong", "duplicated"}


def test_the_same_reading_twice_more_is_two_duplicates() -> None:
    ledger = _acknowledged()
    columns = list(_columns(LANE))
    whole = columns[0]
    one = Column(whole.metric, whole.kind, whole.device[:1], whole.time_us[:1], whole.values[:1])
    findings = _audit(ledger, iter([*columns, one, one]))
    assert (findings.duplicated, findings.wrong, findings.stored) == (2, 0, LANE.posts * LANE.readings)
    assert findings.problems[0].detail == "stored 3 times"


@pytest.mark.parametrize(
    "stray",
    [
        _one(0, 1, LANE.time_ms(2) + 1, 20.0),  # between two messages
        _one(0, 1, LANE.time_ms(-1), 20.0),  # before the first
        _one(0, 1, LANE.time_ms(4), 20.0),  # after the last
        _one(0, 1, LANE.time_ms(2), 20.0, kind="int"),  # in another kind
        Column("other", "double", np.array([1]), np.array([LANE.time_ms(2) * 1_000]), np.array([1.0])),
    ],
)
def test_what_nobody_sent_is_unexpected(stray: Column) -> None:
    findings = _audit(_acknowledged(), iter([*_columns(LANE), stray]))
    assert (findings.unexpected, findings.lost, findings.wrong, findings.duplicated) == (1, 0, 0, 0)
    assert findings.problems[0].trouble == "unexpected"


def test_a_post_that_was_never_sent_or_refused_is_unexpected() -> None:
    ledger = Ledger(LANE)
    ledger.write_sent(0)
    ledger.write_refused(0, Counter(too_old=LANE.readings))
    findings = _audit(ledger, _columns(LANE))
    assert findings.unexpected == LANE.posts * LANE.readings
    assert findings.stored == 0


@pytest.mark.parametrize("is_stored", [True, False])
def test_a_post_without_an_answer_may_be_stored(*, is_stored: bool) -> None:
    ledger = Ledger(LANE)
    for post in range(LANE.posts):
        ledger.write_sent(post)
    findings = _audit(ledger, _columns(LANE) if is_stored else iter(()))
    assert findings.is_clean
    assert findings.stored == (LANE.posts * LANE.readings if is_stored else 0)


def test_a_refused_reading_must_not_be_there_and_is_not_missed() -> None:
    ledger = _acknowledged()
    ledger.write_partly(0, Counter(not_finite=1), refused=[5])  # the second message's second metric
    device, n = LANE.said_by(np.array([1]))
    cell = (int(device[0]), int(n[0]), 1)
    assert _audit(ledger, _columns(LANE, without={cell})).is_clean
    assert _audit(ledger, _columns(LANE)).unexpected == 1


def test_portions_together_find_what_one_audit_finds() -> None:
    missing = {(0, 0, 0), (1, 3, 2), (2, 2, 3)}
    total = Findings()
    for first in range(3):
        columns = _columns(LANE, without=missing, first=first, count=1)
        total.add(_audit(_acknowledged(), columns, first=first, count=1))
    assert total.lost == 3
    assert total.stored == LANE.posts * LANE.readings - 3


def test_a_device_that_said_less_than_others_misses_nothing() -> None:
    uneven = lane(devices=4, messages=3, posts=3)  # nine messages: the first device has three, the others two
    findings = _audit(_acknowledged(uneven), _columns(uneven, count=4), count=4)
    assert findings.is_clean
    assert findings.stored == 9 * len(METRICS)


def test_newest_is_the_newest_acknowledged_or_stored() -> None:
    ledger = Ledger(LANE)
    for post in range(4):
        ledger.write_sent(post)
    ledger.write_acknowledged(0, "db")
    audit = Audit(fleet(), ledger, first=0, count=3)
    newest = {(s.device, s.metric): s.time_us // 1_000 for s in audit.newest()}
    assert newest[fleet().name(0), "temperature"] == LANE.time_ms(0)
    assert (fleet().name(2), "temperature") not in newest
    for column in _columns(LANE):
        audit.take(column)
    newest = {(s.device, s.metric): s.time_us // 1_000 for s in audit.newest()}
    assert set(newest.values()) == {LANE.time_ms(3)}
    assert len(newest) == 3 * len(METRICS)


@pytest.mark.parametrize(
    ("shown", "said", "same"),
    [(1.5, 1.5, True), (2, 2.0, True), (True, 1.0, False), (1, True, False), ("a", "a", True), (None, "a", False)],
)
def test_json_that_says_the_same(*, shown: object, said: float | bool | str, same: bool) -> None:
    assert is_same(shown, said) is same


@given(st.integers(1, 5_000), st.integers(1, 2_000_000))
def test_portions_cover_every_device_once(devices: int, posts: int) -> None:
    covered = [d for first, count in portions(lane(devices=devices, posts=posts)) for d in range(first, first + count)]
    assert covered == list(range(devices))
