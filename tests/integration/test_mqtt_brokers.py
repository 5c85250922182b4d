"""The MQTT door with real brokers: nothing acknowledged is lost, nothing unacknowledged is forgotten."""

import asyncio
from collections.abc import Iterator
from random import Random
from uuid import uuid4

import msgspec
import pytest

from gateway.app.dev_servers.broker import BrokerServer
from gateway.app.dev_servers.ports import free_port
from gateway.core.errors import BadPayload, Overloaded, SinkUnavailable
from gateway.domain.model import Receipt
from tests.builders.mqtt.parts import (
    CLEAN,
    DEADLINE_SECS,
    Gate,
    Letters,
    ScriptedIntake,
    asking_for_a_receipt,
    consumer_of,
    device_client,
    failing,
    poisonous,
    receipt,
    running,
    until,
)
from tests.builders.mqtt.sites import V311, Site, comes_again, numbered, on
from tests.servers.mosquitto import Mosquitto


@pytest.fixture(scope="session")
def rumqttd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerServer]:
    folder = tmp_path_factory.mktemp("rumqttd")
    broker = BrokerServer(folder / "broker.toml", folder / "broker.log", free_port(), free_port())
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture(params=["mosquitto", "rumqttd"])
def site(request: pytest.FixtureRequest) -> Site:
    """Both brokers in turn; devices speak MQTT 5 to the one and MQTT 3.1.1 to the other."""
    name = f"t{uuid4().hex[:8]}"
    broker = request.getfixturevalue(request.param)
    if isinstance(broker, BrokerServer):
        return Site(broker.url(), broker.device_url(), V311, name, share="")
    assert isinstance(broker, Mosquitto)
    return on(broker, name)


async def test_messages_arrive_in_order_and_are_not_sent_again(site: Site) -> None:
    intake = ScriptedIntake()
    bodies = numbered(300)
    async with running(site.settings(), intake):
        await site.publish(*bodies)
        await until(lambda: len(intake.stored) >= len(bodies))
    assert intake.stored == bodies
    assert set(intake.devices) == {"d1"}
    assert await comes_again(site) == []


async def test_what_was_taken_but_not_stored_comes_again(site: Site) -> None:
    admission = Gate()
    intake = ScriptedIntake(admission)
    bodies = numbered(10)
    async with running(site.settings(), intake):
        await site.publish(*bodies)
        await until(lambda: intake.begun == bodies)
        for body in bodies[:4] + bodies[6:]:  # 4 and 5 are never stored: 6 to 9 wait behind them
            admission.open(body)
        await until(lambda: len(intake.stored) == 8)
    assert await comes_again(site) == bodies[4:]


async def test_the_session_outlives_the_consumer(site: Site) -> None:
    async with running(site.settings(), ScriptedIntake()):
        pass
    bodies = numbered(50)
    await site.publish(*bodies)
    assert await comes_again(site) == bodies


async def test_poison_is_kept_acknowledged_and_not_sent_again(site: Site) -> None:
    letters = Letters()
    bad = {b"junk": BadPayload("not JSON"), b"bug": ZeroDivisionError("mistake of ours")}
    intake = ScriptedIntake(poisonous(bad))
    async with running(site.settings(), intake, letters):
        await site.publish(b"a", b"junk", b"b", b"bug", b"", b"c")
        await until(lambda: len(intake.stored) == 3)
        await until(lambda: len(letters.kept) == 2)
    assert {(letter.code, letter.payload) for letter in letters.kept} == {
        ("bad_payload", b"junk"),
        ("internal", b"bug"),
    }
    assert {letter.topic for letter in letters.kept} == {site.topic}
    assert await comes_again(site) == []


async def test_refused_readings_are_kept_once(site: Site) -> None:
    letters = Letters()
    intake = ScriptedIntake(failing([], receipt("not_finite", "too_old")))
    async with running(site.settings(), intake, letters):
        await site.publish(b"half good")
        await until(lambda: len(letters.kept) == 1)
    assert letters.kept[0].payload == b"half good"
    assert "not_finite (1), too_old (1)" in letters.kept[0].detail
    assert await comes_again(site) == []


async def test_a_full_queue_delays_and_loses_nothing(site: Site) -> None:
    intake = ScriptedIntake(failing([Overloaded(), SinkUnavailable(), Overloaded()]))
    bodies = numbered(20)
    async with running(site.settings(), intake):
        await site.publish(*bodies)
        await until(lambda: sorted(intake.stored) == bodies)
    assert await comes_again(site) == []


async def test_a_dead_letter_that_cannot_be_kept_is_not_acknowledged(site: Site) -> None:
    never = Letters([SinkUnavailable()] * 10_000)
    intake = ScriptedIntake(poisonous({b"junk": BadPayload()}))
    async with running(site.settings(), intake, never):
        await site.publish(b"junk")
        await until(lambda: len(never.failures) < 9_998)
    later = Letters([SinkUnavailable(), RuntimeError("a mistake"), SinkUnavailable()])
    again = ScriptedIntake(poisonous({b"junk": BadPayload()}))
    async with running(site.settings(), again, later):
        await until(lambda: len(later.kept) == 1)
    assert again.begun == [b"junk"], "judged once, kept with patience"
    assert await comes_again(site) == []


async def test_stop_waits_for_what_is_in_hand_and_acknowledges_it(site: Site) -> None:
    admission = Gate()
    intake = ScriptedIntake(admission)
    consumer = consumer_of(site.settings(), intake)
    consumer.start()
    await until(lambda: consumer.connected)
    bodies = numbered(80)
    await site.publish(*bodies)
    await until(lambda: intake.begun == bodies)
    stopping = asyncio.create_task(consumer.stop(within_secs=DEADLINE_SECS), name="stopping")
    later = [b"later %d" % number for number in range(100)]
    await site.publish(*later)
    assert not stopping.done()
    admission.open_all()
    await stopping
    assert intake.stored == bodies
    assert await comes_again(site) == later


async def test_stop_leaves_what_cannot_be_stored_to_the_broker(site: Site) -> None:
    intake = ScriptedIntake(Gate())
    consumer = consumer_of(site.settings(), intake)
    consumer.start()
    await until(lambda: consumer.connected)
    await site.publish(b"a", b"b")
    await until(lambda: intake.begun == [b"a", b"b"])
    await consumer.stop(within_secs=0.05)
    await consumer.stop(within_secs=0.05)
    assert await comes_again(site) == [b"a", b"b"]


async def test_the_unacknowledged_window_is_the_back_pressure(mosquitto: Mosquitto) -> None:
    site = on(mosquitto, f"t{uuid4().hex[:8]}")
    admission = Gate()
    intake = ScriptedIntake(admission)
    bodies = numbered(100)
    async with running(site.settings(receive_max=7), intake):
        await site.publish(*bodies)
        await until(lambda: len(intake.begun) == 7)
        admission.open_all()
        await until(lambda: len(intake.stored) == 100)
    assert intake.stored == bodies


async def test_large_messages_arrive_whole(site: Site) -> None:
    body = Random(1).randbytes(900_000)
    intake, letters = ScriptedIntake(), Letters()
    async with running(site.settings(), intake, letters):
        await site.publish(body, body + bytes(200_000), b"small")
        await until(lambda: len(intake.stored) == 2 and len(letters.kept) == 1)
    assert intake.stored[0] == body
    assert letters.kept[0].code == "too_large"
    assert letters.kept[0].payload == body + bytes(200_000)


async def test_devices_get_their_receipts(site: Site) -> None:
    bad = poisonous({b"junk": BadPayload("not JSON")})
    intake = ScriptedIntake(bad)
    answers = f"{site.name}/d1/receipts"
    async with (
        running(site.settings(), intake),
        device_client(site.url, client_id=f"device-{site.name}") as device,
        asyncio.timeout(DEADLINE_SECS),
    ):
        await device.subscribe(answers, qos=1)
        for correlation, body in ((b"c1", b"good"), (b"c2", b"junk")):
            asking = asking_for_a_receipt(answers, correlation)
            await device.publish(site.topic, body, qos=1, properties=asking)
            answer = await anext(device.messages)
            assert answer.properties is not None
            assert vars(answer.properties)["CorrelationData"] == correlation
            assert isinstance(answer.payload, bytes)
            if body == b"good":
                assert msgspec.json.decode(answer.payload, type=Receipt) == CLEAN
            else:
                assert msgspec.json.decode(answer.payload) == {"code": "bad_payload", "detail": "not JSON"}
