"""Dead letters: what was spoiled over MQTT must have left one, and nothing else may."""

from collections import Counter

from simulator.plan.faults import Draw, Fault
from simulator.plan.scenario import Assumed, FaultRates
from simulator.send.ledger import Ledger
from simulator.send.loads.spoil import GHOST
from simulator.send.loads.truth import Truth
from simulator.verify.dead_letters import DeadLetterFindings, compare, expected_letters
from simulator.verify.findings import Account
from tests.unit.simulator.cases import METRICS, fleet, lane

LANE = lane("mqtt", devices=5, messages=2, run=2, posts=100)


RATES = FaultRates(nan=0.2, malformed_json=0.2, unknown_device=0.1, type_flip=0.1, churn=0.1)


def account(*, unanswered: int = 0) -> Account:
    """All posts acknowledged by the broker, but for the last ones."""
    ledger, draw = Ledger(LANE), Draw(RATES, Assumed(), LANE, METRICS, salt=3)
    truth = Truth(draw, LANE)
    for post in range(LANE.posts):
        ledger.write_sent(post)
        expected = truth.expected(post, draw.fault(post))
        if post >= LANE.posts - unanswered:
            continue
        if expected.code:
            ledger.write_partly(post, Counter(), refused=expected.refused)
        else:
            ledger.write_acknowledged(post, "broker")
    return Account(fleet(), ledger, draw)


def test_each_fault_that_is_refused_leaves_a_letter_of_its_code() -> None:
    one = account()
    must, may = expected_letters([one])
    assert one.draw is not None
    faults = [one.draw.fault(post) for post in range(LANE.posts)]
    codes: Counter[str] = Counter()
    for (_, code), count in must.items():
        codes[code] += count
    assert codes == {
        "not_finite": faults.count(Fault.NAN),
        "bad_payload": faults.count(Fault.MALFORMED_JSON),
        "unknown_device": faults.count(Fault.UNKNOWN_DEVICE),
    }
    assert all(device.endswith(GHOST) == (code == "unknown_device") for device, code in must)
    assert not may


def test_over_http_there_are_none() -> None:
    one = account()
    http = lane(devices=5, messages=2, run=2, posts=100)
    assert expected_letters([Account(fleet(), Ledger(http), one.draw)]) == (Counter(), Counter())


def test_what_was_not_answered_may_have_left_one_or_not() -> None:
    must, may = expected_letters([account(unanswered=30)])
    assert may
    for found in (must, must + may):
        assert compare(must, may, found) == DeadLetterFindings(must.total())
    assert compare(must, may, must + may + may).unexpected == may.total()
