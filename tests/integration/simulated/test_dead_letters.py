"""Dead letters: what was spoiled over MQTT must have left one, and nothing else may."""

from simulator.send.drivers.http import HttpClient
from simulator.verify.dead_letters import DeadLetterFindings, expected_letters
from simulator.verify.findings import Account
from simulator.verify.referee import Referee
from tests.fakes.fake_api import FakeLetters
from tests.fakes.fake_gateway import FakeGateway
from tests.unit.simulator.cases import START_MS, ManualClock
from tests.unit.simulator.verify.test_dead_letters import account

PREFIX = "sim-1-test-"


async def look(gateway: FakeGateway, one: Account) -> DeadLetterFindings:
    clock = ManualClock()
    async with HttpClient(gateway.url) as client:
        referee = Referee(stored=None, client=client, clock=clock, sleep=clock.sleep, settle=1.0)
        await referee.verify_letters([one], since_ms=START_MS, prefix=PREFIX)
        return referee._verdict.letters


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


async def test_a_key_that_may_not_look_leaves_them_unchecked(gateway: FakeGateway) -> None:
    gateway.calls.append(FakeLetters(status=403))
    assert (await look(gateway, account())).unchecked == "GET /v1/dead-letters was answered with 403"
