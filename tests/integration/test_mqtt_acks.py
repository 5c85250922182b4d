"""Acknowledgements over a scripted broker: in order, on their own connection, after durable, and none lost on stop."""

import asyncio
from random import Random

import pytest

from gateway.core.errors import Overloaded
from gateway.core.settings import MqttSettings
from gateway.mqtt.message import MqttMessage
from gateway.mqtt.session import BrokerSession
from tests.builders.mqtt.parts import (
    CLEAN,
    TOPIC,
    Gate,
    ScriptedIntake,
    consumer_of,
    failing,
    running,
    settings,
    until,
)
from tests.fakes.scripted_broker import PINGRESP, ScriptedBroker

pytestmark = pytest.mark.usefixtures("both_ways")


async def test_nothing_is_acknowledged_before_take_returns(broker: ScriptedBroker) -> None:
    admission = Gate()
    intake = ScriptedIntake(admission)
    async with running(settings(broker), intake):
        peer = broker.peers[0]
        peer.send(TOPIC, b"a", mid=7)
        await until(lambda: intake.begun == [b"a"])
        assert peer.acks == []
        admission.open(b"a")
        await until(lambda: peer.acks == [7])
    assert intake.devices == ["d1"]
    assert all(principal.writes_any for principal in intake.principals)


@pytest.mark.parametrize("seed", range(5))
async def test_acks_keep_the_order_of_arrival_whatever_is_stored_first(broker: ScriptedBroker, seed: int) -> None:
    admission = Gate()
    intake = ScriptedIntake(admission)
    bodies = [str(i).encode() for i in range(30)]
    rng = Random(seed)
    mids = rng.sample(range(1, 65_536), len(bodies))
    async with running(settings(broker), intake):
        peer = broker.peers[0]
        for mid, body in zip(mids, bodies, strict=True):
            peer.send(TOPIC, body, mid=mid)
        await until(lambda: len(intake.begun) == len(bodies))
        opened: set[int] = set()
        for index in rng.sample(range(len(bodies)), len(bodies)):
            admission.open(bodies[index])
            opened.add(index)
            safe = next((i for i in range(len(bodies)) if i not in opened), len(bodies))
            await until(lambda: bodies[index] in intake.stored)  # noqa: B023 -- awaited before the next turn
            await until(lambda: len(peer.acks) == safe)  # noqa: B023 -- same
            assert peer.acks == mids[:safe]


async def test_an_ack_never_crosses_to_the_next_connection(broker: ScriptedBroker) -> None:
    admission = Gate()
    intake = ScriptedIntake(admission)
    async with running(settings(broker), intake):
        broker.peers[0].send(TOPIC, b"old", mid=1)
        await until(lambda: intake.begun == [b"old"])
        broker.peers[0].writer.transport.abort()
        await until(lambda: len(broker.peers) == 2)
        second = broker.peers[1]
        second.send(TOPIC, b"new", mid=1)  # rumqttd numbers from 1 again
        await until(lambda: intake.begun == [b"old", b"new"])
        admission.open(b"old")
        second.send(TOPIC, b"more", mid=2)
        await until(lambda: len(intake.begun) == 3)
        assert second.acks == []
        admission.open(b"new")
        await until(lambda: second.acks == [1])
        assert intake.stored == [b"old", b"new"], "a broker that crashed may not know the old one any more"


async def test_what_was_left_of_two_connections_is_not_kept_for_ever(broker: ScriptedBroker) -> None:
    admission = Gate()
    intake = ScriptedIntake(admission)
    async with running(settings(broker), intake) as consumer:
        for number in range(4):
            await until(lambda: len(broker.peers) == number + 1)  # noqa: B023 -- awaited within the turn
            broker.peers[number].send(TOPIC, b"%d" % number, mid=1)
            await until(lambda: len(intake.begun) == number + 1)  # noqa: B023
            broker.peers[number].reset()
        await until(lambda: len(broker.peers) == 5)
        await until(lambda: len(consumer._working) == 1)
        admission.open_all()
        await until(lambda: intake.stored == [b"3"])
        assert consumer._held_bytes == [0, 0]


async def test_what_was_acknowledged_just_before_closing_is_sent(broker: ScriptedBroker) -> None:
    seen: list[MqttMessage] = []
    session = BrokerSession(settings(broker), "a/+", client_id="g", rng=Random(1))
    run = asyncio.create_task(session.run(seen.append, on_lost=lambda: None), name="session")
    await until(lambda: session.connected)
    broker.peers[0].send(TOPIC, b"x", mid=77)
    await until(lambda: len(seen) == 1)
    seen[0].ack()
    await session.close()
    await run
    await until(lambda: broker.peers[0].gone)
    assert broker.peers[0].acks == [77]
    assert broker.peers[0].said_goodbye


async def test_a_refusing_database_keeps_later_acks_back_until_it_takes(broker: ScriptedBroker) -> None:
    intake = ScriptedIntake(failing([Overloaded()] * 3))
    async with running(settings(broker), intake):
        for mid in (1, 2):
            broker.peers[0].send(TOPIC, b"%d" % mid, mid=mid)
        await until(lambda: broker.peers[0].acks == [1, 2])
    assert sorted(intake.stored) == [b"1", b"2"]
    assert len(intake.begun) == 5


async def test_a_take_that_is_cancelled_by_others_is_tried_again(broker: ScriptedBroker) -> None:
    calls = 0

    async def answer(_body: bytes) -> object:
        nonlocal calls
        calls += 1
        if calls == 1:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            future.cancel()
            await future
        return CLEAN

    async with running(settings(broker), ScriptedIntake(answer)):  # type: ignore[arg-type]
        broker.peers[0].send(TOPIC, b"x", mid=1)
        await until(lambda: broker.peers[0].acks == [1])
    assert calls == 2


async def test_stop_disconnects_cleanly_after_the_last_ack(broker: ScriptedBroker) -> None:
    admission = Gate()
    intake = ScriptedIntake(admission)
    consumer = consumer_of(settings(broker), intake)
    consumer.start()
    await until(lambda: consumer.connected)
    peer = broker.peers[0]
    peer.send(TOPIC, b"in hand", mid=5)
    await until(lambda: intake.begun == [b"in hand"])
    stopping = asyncio.create_task(consumer.stop(within_secs=10), name="stopping")
    await asyncio.sleep(0)
    peer.send(TOPIC, b"too late", mid=6)
    admission.open(b"in hand")
    await stopping
    await until(lambda: peer.gone)
    assert peer.acks == [5]
    assert peer.said_goodbye
    assert intake.begun == [b"in hand"]
    assert not consumer.connected


async def test_stop_hangs_up_only_when_the_broker_has_read_the_acks(broker: ScriptedBroker) -> None:
    broker.answers_pings = False
    intake = ScriptedIntake()
    consumer = consumer_of(settings(broker), intake)
    consumer.start()
    await until(lambda: consumer.connected)
    peer = broker.peers[0]
    peer.send(TOPIC, b"x", mid=1)
    await until(lambda: intake.stored == [b"x"])
    stopping = asyncio.create_task(consumer.stop(within_secs=1), name="stopping")
    await until(lambda: peer.pinged)
    assert peer.acks == [1]
    assert not peer.said_goodbye
    assert not stopping.done()
    peer.writer.write(PINGRESP)
    await stopping
    await until(lambda: peer.gone)
    assert peer.said_goodbye


async def test_stop_is_bounded_when_the_broker_never_answers(broker: ScriptedBroker) -> None:
    broker.connack = None
    consumer = consumer_of(settings(broker), ScriptedIntake())
    consumer.start()
    await until(lambda: broker.connects == 1)
    async with asyncio.timeout(4):
        await consumer.stop(within_secs=0)
    broker.connack = 0
    await until(lambda: not broker.open, "the connection is closed")


async def test_stop_before_start_and_without_a_broker() -> None:
    nobody = MqttSettings(url="mqtt://127.0.0.1:1")
    await consumer_of(nobody, ScriptedIntake()).stop(within_secs=1)
    consumer = consumer_of(nobody, ScriptedIntake())
    consumer.start()
    await until(lambda: consumer.last_error is not None)
    assert "refused" in (consumer.last_error or "")
    await consumer.stop(within_secs=1)
