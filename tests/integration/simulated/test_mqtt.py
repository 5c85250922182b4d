"""The MQTT publisher against a broker that does what it is told to, and against mosquitto."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random

import pytest

from simulator.core.addresses import Broker
from simulator.core.errors import Unreachable
from simulator.send.drivers.mqtt import MqttPublisher
from simulator.send.drivers.upkeep import kept
from tests.fakes.fake_broker import FakeBroker
from tests.fakes.listening import listening
from tests.fakes.waiting import until
from tests.servers.mosquitto import Limits, Mosquitto


@asynccontextmanager
async def publishing(broker: FakeBroker, acked: list[int], **options: int) -> AsyncIterator[MqttPublisher]:
    where = Broker(broker.host, broker.port)
    publisher = MqttPublisher(where, client_id="sim", on_ack=acked.append, **options)
    async with kept([publisher], random=Random(1)):
        yield publisher


async def test_messages_are_acknowledged_and_the_session_is_forgotten_at_the_end(broker: FakeBroker) -> None:
    acked: list[int] = []
    async with publishing(broker, acked) as mqtt:
        for i in range(100):
            mqtt.publish(b"a/b", b"x%d" % i, token=i)
        await until(lambda: not mqtt.in_flight)
    assert acked == list(range(100))
    assert [p.payload for p in broker.published] == [b"x%d" % i for i in range(100)]
    assert not any(p.dup for p in broker.published)
    await until(lambda: broker.goodbyes == 2)
    assert broker.connects == [("sim", False), ("sim", True)]


async def test_what_is_on_the_way_when_the_broker_hangs_up_is_sent_again_with_dup(broker: FakeBroker) -> None:
    broker.hang_ups = 2
    acked: list[int] = []
    async with publishing(broker, acked) as mqtt:
        for i in range(5):
            mqtt.publish(b"t", b"%d" % i, token=i)
        await until(lambda: not mqtt.in_flight)
        assert mqtt.losses == 2
    assert sorted(acked) == list(range(5))
    taken = broker.published[2:]  # the first two came to hang-ups
    assert [(p.payload, p.dup) for p in taken] == [(b"%d" % i, True) for i in range(5)]
    assert len({p.packet_id for p in broker.published}) == 5


async def test_the_window_is_a_bound(broker: FakeBroker) -> None:
    acked: list[int] = []
    async with publishing(broker, acked, window=3) as mqtt:
        for i in range(3):
            assert mqtt.has_room
            mqtt.publish(b"t", b"", token=i)
        assert not mqtt.has_room
        assert await mqtt.room(10)
        assert mqtt.in_flight < 3


async def test_a_broker_that_does_not_acknowledge_leaves_no_room(broker: FakeBroker) -> None:
    broker.is_mute = True
    async with publishing(broker, [], window=1) as mqtt:
        mqtt.publish(b"t", b"", token=1)
        assert not await mqtt.room(0.01)
        assert mqtt.in_flight


async def test_a_silent_broker_is_left_for_a_new_connection(broker: FakeBroker) -> None:
    broker.is_mute = True
    async with publishing(broker, [], keepalive=1) as mqtt:
        await until(lambda: mqtt.losses > 0)
        assert await mqtt.room(10)


async def test_packet_identifiers_begin_anew_and_pass_over_those_on_the_way(broker: FakeBroker) -> None:
    broker.is_mute = True
    async with publishing(broker, []) as mqtt:
        mqtt.publish(b"t", b"first", token=0)
        mqtt._last_id = 65_534
        for i in range(3):
            mqtt.publish(b"t", b"%d" % i, token=i)
        await until(lambda: len(broker.published) == 4)
    assert [p.packet_id for p in broker.published] == [1, 65_535, 2, 3]


async def test_who_has_written_since_the_last_visit_does_not_ping(broker: FakeBroker) -> None:
    async with publishing(broker, []) as mqtt:
        mqtt.visit()
        await until(lambda: broker.pings == 1)
        mqtt.publish(b"t", b"x", token=1)
        await until(lambda: not mqtt.in_flight)
        mqtt.visit()
        mqtt.visit()
        await until(lambda: broker.pings == 2)
    assert broker.pings == 2


async def test_room_that_comes_back_is_told_once(broker: FakeBroker) -> None:
    async with publishing(broker, [], window=2) as mqtt:
        told: list[bool] = []
        mqtt.on_room = lambda: told.append(mqtt.has_room)
        for i in range(2):
            mqtt.publish(b"t", b"", token=i)
        await until(lambda: not mqtt.in_flight)
    assert told == [True]


async def test_a_broker_that_refuses_us_says_why(broker: FakeBroker) -> None:
    broker.code = 4
    with pytest.raises(Unreachable, match="user name or password"):
        await publishing(broker, []).__aenter__()


async def test_no_broker_is_unreachable() -> None:
    async with listening(_hang_up) as port:
        pass
    with pytest.raises(Unreachable, match="does not answer"):
        await publishing(FakeBroker(port=port), []).__aenter__()


async def test_a_broker_that_hangs_up_at_once_is_unreachable() -> None:
    async with listening(_hang_up) as port:
        with pytest.raises(Unreachable, match="does not answer"):
            await publishing(FakeBroker(port=port), []).__aenter__()


async def _hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def test_mosquitto_takes_every_message_through_a_restart(start_mosquitto: Callable[[Limits], Mosquitto]) -> None:
    mosquitto = start_mosquitto(Limits())
    acked: list[int] = []
    where = Broker("127.0.0.1", mosquitto.port)
    mqtt = MqttPublisher(where, client_id="sim", on_ack=acked.append, window=500)
    async with kept([mqtt], random=Random(1)):
        for i in range(4_000):
            assert await mqtt.room(20)
            mqtt.publish(b"devices/d/readings", b"%d" % i, token=i)
            if i == 2_000:
                mosquitto.restart()  # in the main thread: its child is to die with it
        await until(lambda: not mqtt.in_flight)
        assert mqtt.losses >= 1
    assert sorted(acked) == list(range(4_000))
