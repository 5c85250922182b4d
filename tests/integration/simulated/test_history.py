"""Verification through the public API alone: what is planted is found, and nothing else."""

from collections.abc import AsyncIterator, Callable

import numpy as np
import pytest

from simulator.plan.faults import Draw
from simulator.plan.plan import Part
from simulator.plan.scenario import Assumed, FaultRates
from simulator.send.drivers.http import HttpClient
from simulator.send.ledger import Ledger
from simulator.send.loads.script import Script
from simulator.targets.gateway import GatewayTarget
from simulator.verify.findings import Account
from simulator.verify.history import History
from simulator.verify.referee import Referee, Verdict
from tests.fakes import fake_gateway
from tests.fakes.fake_api import FakeHistory
from tests.fakes.fake_gateway import FakeGateway
from tests.unit.simulator.cases import METRICS, ManualClock, fleet, lane, native_encoder, plan

LANE = lane(devices=4, messages=2, posts=10)  # five messages of each device
DEVICE = fleet().name(2)


@pytest.fixture
async def gateway() -> AsyncIterator[FakeGateway]:
    async with fake_gateway.running() as running:
        running.calls.append(FakeHistory(running))
        yield running


async def _send(gateway: FakeGateway) -> Ledger:
    ledger, encoder = Ledger(LANE), native_encoder(fleet(), LANE, shapes=("values", "flat"))
    async with HttpClient(gateway.url) as client:
        for number in range(LANE.posts):
            ledger.write_sent(number)
            assert (await client.post(encoder.post(number).body)).status == 200
            ledger.write_acknowledged(number, "db")
    return ledger


async def _verify(gateway: FakeGateway, account: Account) -> Verdict:
    clock = ManualClock()
    async with HttpClient(gateway.url) as client:
        referee = Referee(stored=History(client), client=client, clock=clock, sleep=clock.sleep, settle=1.0)
        return await referee.verify([account])


async def test_all_is_well_page_by_page(gateway: FakeGateway) -> None:
    verdict = await _verify(gateway, Account(fleet(), await _send(gateway)))
    assert verdict.total.is_clean
    assert verdict.total.stored == 20 * len(METRICS)
    assert (verdict.stored_checked, verdict.twins_shown, verdict.unfinished) == (True, False, "")
    assert sum("cursor=3" in target for target in gateway.calls[0].asked) == 4  # type: ignore[attr-defined]


def _key(metric: int, n: int) -> tuple[str, str, int]:
    return DEVICE, METRICS[metric].name, LANE.time_ms(n)


def _delete(gateway: FakeGateway) -> None:
    del gateway.readings[_key(1, 2)]


def _change(gateway: FakeGateway) -> None:
    gateway.readings[_key(1, 2)] += 1e-9


def _to_text(gateway: FakeGateway) -> None:
    gateway.readings[_key(2, 2)] = "true"


def _invent(gateway: FakeGateway) -> None:
    gateway.readings[DEVICE, "humidity", LANE.time_ms(2) + 1] = 1.0


@pytest.mark.parametrize(
    ("harm", "wanted"),
    [
        (_delete, {"lost": 1}),
        (_change, {"wrong": 1}),
        (_to_text, {"lost": 1, "unexpected": 1}),
        (_invent, {"unexpected": 1}),
    ],
)
async def test_exactly_what_was_planted_is_found(
    gateway: FakeGateway, harm: Callable[[FakeGateway], None], wanted: dict[str, int]
) -> None:
    ledger = await _send(gateway)
    harm(gateway)
    total = (await _verify(gateway, Account(fleet(), ledger))).total
    found = {name: getattr(total, name) for name in ("lost", "wrong", "duplicated", "unexpected", "state_wrong")}
    assert {name: count for name, count in found.items() if count} == wanted
    assert {(p.device, p.time_us // 1_000 - LANE.time_ms(2)) for p in total.problems} <= {(DEVICE, 0), (DEVICE, 1)}


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ((403, {"code": "forbidden"}), "403 forbidden"),
        ((404, {"code": "not_found"}), "404 not_found"),
        ((200, {"readings": [{"ts": "soon", "values": {}}]}), "has the time 'soon'"),
        ((200, {"readings": [{"time": 1}]}), "not as documented"),
    ],
)
async def test_a_gateway_that_shows_no_readings_leaves_them_unchecked(
    gateway: FakeGateway, answer: tuple[int, dict[str, object]], why: str
) -> None:
    ledger = await _send(gateway)
    gateway.calls.insert(0, lambda *_: answer)
    verdict = await _verify(gateway, Account(fleet(), ledger))
    assert why in verdict.stored_unchecked
    assert not verdict.stored_checked
    assert verdict.total.lost == 0
    assert verdict.total.state_checked > 0


async def test_later_is_asked_again(gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulator.send.drivers.http.PAUSE_S", 0.0)
    answers = [(503, {"code": "query_timeout"}), (429, {"code": "rate_limited"})]
    gateway.calls.insert(0, lambda *_: answers.pop() if answers else None)
    assert (await _verify(gateway, Account(fleet(), await _send(gateway)))).total.is_clean
    assert not answers


def _flipping() -> tuple[Part, Account]:
    """A part in which half of the posts have a reading of another kind, all of it acknowledged."""
    (part,) = plan(mixed_kinds=True, seconds=2.0).parts()
    draw = Draw(FaultRates(type_flip=0.5), Assumed(), part.lane, part.fleet.metrics, salt=9)
    account = Account(part.fleet, Ledger(part.lane), draw)
    object.__setattr__(part, "draw", draw)
    return part, account


async def test_a_reading_of_another_kind_is_right_where_it_was_sent_and_wrong_elsewhere(gateway: FakeGateway) -> None:
    part, account = _flipping()
    script = Script(part, GatewayTarget())
    async with HttpClient(gateway.url) as client:
        for number in range(part.lane.posts):
            turn = type("Turn", (), {"number": number, "due": 0.0})()
            account.ledger.write_sent(number)
            await client.post(script.job(turn).post.body)
            account.ledger.write_acknowledged(number, "db")
    verdict = await _verify(gateway, account)
    assert verdict.total.is_clean, verdict.total.problems[:3]
    assert verdict.total.stored == part.lane.posts * part.lane.readings
    flipped = [key for key, value in gateway.readings.items() if value == "ERR"]
    gateway.readings[flipped[0]] = 1.0
    usual = next(key for key, value in gateway.readings.items() if key[1] == "humidity" and isinstance(value, float))
    gateway.readings[usual] = "ERR"
    total = (await _verify(gateway, account)).total
    assert total.lost + total.wrong == 2
    assert {(p.device, p.metric) for p in total.problems} == {flipped[0][:2], usual[:2]}


async def test_columns_are_numbered_within_the_fleet(gateway: FakeGateway) -> None:
    await _send(gateway)
    names = [fleet().name(i) for i in (1, 2)]
    async with HttpClient(gateway.url) as client:
        since, until = LANE.time_ms(0), LANE.time_ms(2)
        found = History(client).columns(names, since_ms=since, until_ms=until, first=1)
        columns = [column async for column in found]
    assert {int(device) for column in columns for device in column.device} == {1, 2}
    assert {len(column.time_us) for column in columns} == {2}, "the end is exclusive"
    assert {column.kind for column in columns} == {"double", "bool", "text"}
    assert all(column.values.dtype in (np.dtype(np.float64), np.dtype(object)) for column in columns)
