from collections.abc import Callable
from typing import Any

import asyncpg
import pytest

from simulator.core.errors import Unreachable
from simulator.send.drivers.http import HttpClient
from simulator.send.ledger import Ledger
from simulator.verify.findings import MAX_PROBLEMS, Account, Findings
from simulator.verify.referee import Referee, Verdict
from simulator.verify.stored import StoredReadings
from tests.fakes import fake_gateway
from tests.fakes.fake_gateway import FakeGateway
from tests.servers.databases import Database
from tests.unit.simulator.cases import METRICS, START_MS, ManualClock, fleet, lane, native_encoder

LANE = lane(devices=4, messages=2, posts=10)  # five messages of each device


DEVICE = fleet().name(2)


LAST_US = LANE.time_ms(4) * 1_000


async def _send(gateway: FakeGateway, *, settle: bool = True) -> Ledger:
    """Post a whole lane, as a run would."""
    ledger, encoder = Ledger(LANE), native_encoder(fleet(), LANE, shapes=("values",))
    async with HttpClient(gateway.url) as client:
        for number in range(LANE.posts):
            ledger.write_sent(number)
            assert (await client.post(encoder.post(number).body)).status == 200
            if settle:
                ledger.write_acknowledged(number, "db")
    return ledger


async def _verify(gateway: FakeGateway, ledger: Ledger, *, database: str | None, settle: float = 3.0) -> Verdict:
    clock = ManualClock()
    stored = await StoredReadings.open(database) if database else None
    try:
        async with HttpClient(gateway.url) as client:
            referee = Referee(stored=stored, client=client, clock=clock, sleep=clock.sleep, settle=settle)
            return await referee.verify([Account(fleet(), ledger)])
    finally:
        if stored is not None:
            await stored.close()


async def _judge(gateway: FakeGateway, database: Database, *statements: str) -> Findings:
    """Store what was sent, do harm, and have it judged."""
    ledger = await _send(gateway)
    await gateway.copy_to(database.url)
    connection = await asyncpg.connect(database.url)
    for statement in statements:
        assert not (await connection.execute(statement)).endswith(" 0"), "the harm must be done"
    await connection.close()
    return (await _verify(gateway, ledger, database=database.url)).total


def _of(device: str, n: int) -> str:
    ms = LANE.time_ms(n)
    return f"device_id = (select id from devices where name = '{device}') and time = to_timestamp({ms} / 1000.0)"


async def test_all_is_well(gateway: FakeGateway, plain_db: Database) -> None:
    findings = await _judge(gateway, plain_db)
    assert findings.is_clean
    assert findings.stored == 20 * len(METRICS)
    assert findings.state_checked == 4 * len(METRICS)


async def test_deleted_rows_are_lost(gateway: FakeGateway, plain_db: Database) -> None:
    findings = await _judge(gateway, plain_db, f"delete from messages where {_of(DEVICE, 1)}")
    assert (findings.lost, findings.wrong, findings.unexpected) == (len(METRICS), 0, 0)
    assert {(p.trouble, p.device, p.time_us) for p in findings.problems} == {("lost", DEVICE, LANE.time_ms(1) * 1_000)}


@pytest.mark.parametrize(
    "change",
    [
        "values[array_position(array['door_open','humidity','temperature'], 'temperature')] = 1e9",
        "values[1] = 0.5",  # the bool
        "values[2] = values[2] + 1e-12",
        "values[2] = 'NaN'",
        "values[2] = null",
        "texts = array['2.3.7x']",
    ],
)
async def test_a_changed_value_is_wrong(gateway: FakeGateway, plain_db: Database, change: str) -> None:
    findings = await _judge(gateway, plain_db, f"update messages set {change} where {_of(DEVICE, 3)}")
    assert (findings.wrong, findings.lost) == (1, 0)
    assert findings.problems[0].device == DEVICE


async def test_values_cut_short_are_not_taken_for_others(gateway: FakeGateway, plain_db: Database) -> None:
    findings = await _judge(gateway, plain_db, f"update messages set values = values[2:3] where {_of(DEVICE, 3)}")
    assert (findings.wrong, findings.lost) == (3, 0)


async def test_a_reading_stored_in_another_shape_too_is_a_duplicate(gateway: FakeGateway, plain_db: Database) -> None:
    findings = await _judge(
        gateway,
        plain_db,
        "insert into shapes (value_metrics, int_metrics, text_metrics) "
        "select array[id], '{}', '{}' from metrics where name = 'humidity'",
        "insert into messages (time, device_id, shape_id, values) "
        "select time, device_id, (select max(id) from shapes), values[2:2] from messages "
        f"where {_of(DEVICE, 0)}",
    )
    assert (findings.duplicated, findings.wrong, findings.lost, findings.unexpected) == (1, 0, 0, 0)


async def test_a_message_at_another_time_is_lost_and_unexpected(gateway: FakeGateway, plain_db: Database) -> None:
    move = f"update messages set time = time + interval '1 microsecond' where {_of(DEVICE, 2)}"
    findings = await _judge(gateway, plain_db, move)
    assert (findings.lost, findings.unexpected) == (len(METRICS), len(METRICS))


async def test_readings_of_an_earlier_run_of_the_name_do_not_count(gateway: FakeGateway, plain_db: Database) -> None:
    older = (
        "insert into messages (time, device_id, shape_id, values, texts) "
        "select time - interval '1 hour', device_id, shape_id, values, texts from messages"
    )
    assert (await _judge(gateway, plain_db, older)).is_clean


def _rewind(state: dict[str, Any]) -> None:
    state["ts"] = fake_gateway.to_text(LANE.time_ms(3))


def _alter(state: dict[str, Any]) -> None:
    state["value"] = 0.0


def _say_ms(state: dict[str, Any]) -> None:
    state["ts"] = state["ms"]


def _spoil(state: dict[str, Any]) -> None:
    state["ts"] = "yesterday"


@pytest.mark.parametrize(("harm", "wrong"), [(_rewind, 1), (_alter, 1), (_spoil, 1), (dict.clear, 1), (_say_ms, 0)])
async def test_state_is_the_newest_of_each_series(
    gateway: FakeGateway, plain_db: Database, harm: Callable[[dict[str, Any]], None], wrong: int
) -> None:
    ledger = await _send(gateway)
    await gateway.copy_to(plain_db.url)
    harm(gateway.states[DEVICE]["humidity"])
    findings = (await _verify(gateway, ledger, database=plain_db.url)).total
    assert findings.state_wrong == wrong
    assert [(p.trouble, p.device, p.metric, p.time_us) for p in findings.problems] == [
        ("state wrong", DEVICE, "humidity", LAST_US)
    ] * wrong


async def test_a_state_that_lags_is_given_a_moment(gateway: FakeGateway, plain_db: Database) -> None:
    ledger = await _send(gateway)
    await gateway.copy_to(plain_db.url)
    right, asked = dict(gateway.states[DEVICE]), 0
    del gateway.states[DEVICE]
    query = gateway._query

    def answer(body: bytes) -> tuple[int, dict[str, Any]]:
        nonlocal asked
        asked += 1
        if asked == 3:
            gateway.states[DEVICE] = right
        return query(body)

    gateway._query = answer  # type: ignore[method-assign]
    assert (await _verify(gateway, ledger, database=plain_db.url)).total.is_clean
    assert asked == 3


async def test_what_is_still_on_its_way_is_waited_for(gateway: FakeGateway, plain_db: Database) -> None:
    ledger = await _send(gateway)
    polls = 0
    clock = ManualClock()

    async def sleep(seconds: float) -> None:
        nonlocal polls
        polls += 1
        if polls == 3:
            await gateway.copy_to(plain_db.url)
        await clock.sleep(seconds)

    stored = await StoredReadings.open(plain_db.url)
    referee = Referee(stored=stored, client=None, clock=clock, sleep=sleep, settle=30.0)
    verdict = await referee.verify([Account(fleet(), ledger)])
    await stored.close()
    assert verdict.total.is_clean
    assert polls == 3
    assert clock.now < 110


async def test_what_never_comes_is_lost_after_the_wait(gateway: FakeGateway, plain_db: Database) -> None:
    ledger = await _send(gateway)
    findings = (await _verify(gateway, ledger, database=plain_db.url)).total
    assert findings.lost == 20 * len(METRICS)
    assert len(findings.problems) == findings.lost <= MAX_PROBLEMS


async def test_without_a_database_states_alone_are_checked(gateway: FakeGateway) -> None:
    ledger = await _send(gateway)
    verdict = await _verify(gateway, ledger, database=None)
    assert verdict.total == Findings(state_checked=4 * len(METRICS))
    _rewind(gateway.states[DEVICE]["humidity"])
    assert (await _verify(gateway, ledger, database=None)).total.state_wrong == 1


async def test_without_a_database_an_unanswered_reading_may_be_the_state(gateway: FakeGateway) -> None:
    ledger = await _send(gateway, settle=False)
    ledger.write_acknowledged(0, "db")
    assert (await _verify(gateway, ledger, database=None)).total.is_clean
    _alter(gateway.states[fleet().name(0)]["humidity"])
    assert (await _verify(gateway, ledger, database=None)).total.state_wrong == 1


async def test_a_gateway_that_shows_no_states_leaves_them_unchecked(gateway: FakeGateway, plain_db: Database) -> None:
    ledger = await _send(gateway)
    await gateway.copy_to(plain_db.url)
    gateway._query = lambda _: (403, {"code": "forbidden"})  # type: ignore[method-assign, assignment]
    verdict = await _verify(gateway, ledger, database=plain_db.url)
    assert verdict.states_unchecked == "states:query was answered with 403"
    assert verdict.total.is_clean
    assert verdict.total.stored == 20 * len(METRICS)


async def test_many_devices_and_portions(
    gateway: FakeGateway, plain_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simulator.verify.referee._CELLS", 1)
    monkeypatch.setattr("simulator.verify.stored._ROWS", 2)
    findings = await _judge(gateway, plain_db, f"delete from messages where {_of(DEVICE, 4)}")
    assert (findings.lost, findings.stored) == (len(METRICS), 19 * len(METRICS))


async def test_a_database_that_is_no_gateways(plain_server: Any) -> None:
    with pytest.raises(Unreachable, match="not a gateway's"):
        await StoredReadings.open(plain_server.url("postgres"))


async def test_no_database() -> None:
    with pytest.raises(Unreachable, match="does not answer"):
        await StoredReadings.open("postgresql://127.0.0.1:1/x")


async def test_a_database_lost_while_reading(gateway: FakeGateway, plain_db: Database) -> None:
    stored = await StoredReadings.open(plain_db.url)
    killer = await asyncpg.connect(plain_db.url)
    await killer.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() "
        "and datname = current_database()"
    )
    await killer.close()
    with pytest.raises(Unreachable, match="lost while counting"):
        await stored.count([DEVICE], since_ms=START_MS)
    with pytest.raises(Unreachable, match="lost while reading"):
        await anext(stored.columns([DEVICE], since_ms=START_MS, until_ms=START_MS + 1, first=0))
    await stored.close()
