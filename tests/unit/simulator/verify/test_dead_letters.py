"""Dead letters: what was spoiled over MQTT must have left one, and nothing else may."""

from collections import Counter
from collections.abc import AsyncIterator

import pytest

from simulator.plan.faults import Draw, Fault
from simulator.plan.scenario import Assumed, FaultRates
from simulator.send.drivers.http import HttpClient
from simulator.send.ledger import Ledger
from simulator.send.loads.spoil import GHOST
from simulator.send.loads.truth import Truth
from simulator.verify.dead_letters import DeadLetterFindings, compare, expected_letters
from simulator.verify.findings import Account
from simulator.verify.referee import Referee
from tests.unit.simulator import fake_gateway
from tests.unit.simulator.cases import METRICS, START_MS, ManualClock, fleet, lane
from tests.unit.simulator.fake_api import FakeLetters
from tests.unit.simulator.fake_gateway import FakeGateway

LANE = lane("mqtt", devices=5, messages=2, run=2, posts=100)
RATES = FaultRates(nan=0.2, malformed_json=0.2, unknown_device=0.1, type_flip=0.1, churn=0.1)
PREFIX = "sim-1-test-"


@pytest.fixture
async def gateway() -> AsyncIterator[FakeGateway]:
    async with fake_gateway.running() as running:
        yield running


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


async def look(gateway: FakeGateway, one: Account) -> DeadLetterFindings:
    clock = ManualClock()
    async with HttpClient(gateway.url) as client:
        referee = Referee(stored=None, client=client, clock=clock, sleep=clock.sleep, settle=1.0)
        await referee.verify_letters([one], since_ms=START_MS, prefix=PREFIX)
        return referee._verdict.letters


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


async def test_all_there(gateway: FakeGateway) -> None:
    one = account()
    must, _ = expected_letters([one])
    gateway.calls.append(FakeLetters([*must.elements(), ("somebody-else", "bad_payload")]))
    found = await look(gateway, one)
    assert (found.expected, found.missing, found.unexpected) == (must.total(), 0, 0)


async def test_a_letter_too_few_and_one_too_many_are_named(gateway: FakeGateway) -> None:
    one = account()
    letters = list(expected_letters([one])[0].elements())
    gone = letters.pop()
    gateway.calls.append(FakeLetters([*letters, (f"{PREFIX}00001", "too_old")]))
    found = await look(gateway, one)
    assert (found.missing, found.unexpected) == (1, 1)
    assert found.examples == [
        f"no dead letter {gone[1]} of {gone[0]}",
        f"an unexpected dead letter too_old of {PREFIX}00001",
    ]


def test_what_was_not_answered_may_have_left_one_or_not() -> None:
    must, may = expected_letters([account(unanswered=30)])
    assert may
    for found in (must, must + may):
        assert compare(must, may, found) == DeadLetterFindings(must.total())
    assert compare(must, may, must + may + may).unexpected == may.total()


async def test_a_key_that_may_not_look_leaves_them_unchecked(gateway: FakeGateway) -> None:
    gateway.calls.append(FakeLetters(status=403))
    assert (await look(gateway, account())).unchecked == "GET /v1/dead-letters was answered with 403"
