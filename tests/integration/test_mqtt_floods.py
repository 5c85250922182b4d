"""More than was asked for, and what cannot be read, over a scripted broker: bounded, kept, and the rest unharmed."""

import pytest

from gateway.core.errors import BadPayload
from gateway.core.settings import DeadLetterSettings
from gateway.domain.dead_letters import DeadLetterFilter
from gateway.mqtt import consumer
from gateway.timescale.connections.pool import open_pool
from gateway.timescale.dead_letters.browse import StoredDeadLetters
from gateway.timescale.dead_letters.store import TimescaleDeadLetters
from tests.builders.mqtt.parts import (
    TOPIC,
    Gate,
    Letters,
    ScriptedIntake,
    poisonous,
    running,
    settings,
    settled,
    until,
)
from tests.fakes.scripted_broker import ScriptedBroker, publish_packet
from tests.integration.writing import execute
from tests.servers.databases import Database

pytestmark = pytest.mark.usefixtures("both_ways")


async def test_a_broker_that_ignores_the_window_is_held_back(broker: ScriptedBroker) -> None:
    admission = Gate()
    intake = ScriptedIntake(admission)
    mids = list(range(1, 501))
    async with running(settings(broker, receive_max=5), intake):
        peer = broker.peers[0]
        for mid in mids:
            peer.send(TOPIC, b"%d" % mid, mid=mid)
        await until(lambda: len(intake.begun) == 10)
        peer.send(TOPIC, b"last", mid=501)
        await settled()  # it must not read on
        assert len(intake.begun) == 10
        for mid in mids[:5]:
            admission.open(b"%d" % mid)
        await until(lambda: len(intake.begun) == 15, "reading again when half is stored")
        admission.open_all()
        await until(lambda: peer.acks == [*mids, 501])
    assert broker.connects == 1


async def test_large_messages_are_bounded_by_their_bytes(
    broker: ScriptedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "MAX_HELD_BYTES", 250_000)
    admission = Gate()
    intake = ScriptedIntake(admission)
    bodies = [bytes((number,)) * 100_000 for number in range(20)]
    async with running(settings(broker), intake):
        peer = broker.peers[0]
        for mid, body in enumerate(bodies, start=1):
            peer.send(TOPIC, body, mid=mid)
        await until(lambda: intake.begun == bodies[:3])
        await settled()  # it must not read on
        assert len(intake.begun) == 3
        admission.open_all()
        await until(lambda: peer.acks == list(range(1, 21)))
    assert intake.begun == bodies


async def test_a_pause_does_not_outlive_its_connection(broker: ScriptedBroker) -> None:
    admission = Gate()
    intake = ScriptedIntake(admission)
    async with running(settings(broker, receive_max=5), intake) as consumer:
        for mid in range(1, 30):
            broker.peers[0].send(TOPIC, b"%d" % mid, mid=mid)
        await until(lambda: len(intake.begun) == 10)
        broker.peers[0].reset()
        for mid in range(1, 6):
            admission.open(b"%d" % mid)  # it reads on, pauses again, and then finds that it cannot acknowledge
        await until(lambda: len(broker.peers) == 2)
        before = len(intake.begun)
        for mid in range(1, 30):
            broker.peers[1].send(TOPIC, b"again %d" % mid, mid=mid)
        await until(lambda: len(intake.begun) == before + 10)
        await settled()  # it must not read on
        assert len(intake.begun) == before + 10, "the second connection is held back like the first"
        admission.open_all()
        await until(lambda: broker.peers[1].acks == list(range(1, 30)))
        assert consumer._held_bytes == [0, 0]


async def test_a_flood_of_what_is_refused_is_acknowledged_and_not_written(
    broker: ScriptedBroker, timescale_db: Database
) -> None:
    """One device wrote as fast as the database took it, and everybody's acknowledgements waited for that."""
    await execute(timescale_db.url, "insert into devices (name) values ('noisy'), ('honest')")
    junk: dict[bytes, Exception] = {b"%d" % mid + b"x" * 5000: BadPayload("not JSON") for mid in range(1, 601)}
    intake = ScriptedIntake(poisonous({**junk, b"honest's": BadPayload("not JSON")}))
    limits = DeadLetterSettings(device_bytes_per_sec=1000)
    async with open_pool(timescale_db.url, name="test", size=2, connect_timeout=20, command_timeout=20) as pool:
        async with running(settings(broker), intake, TimescaleDeadLetters(pool, limits)):
            peer = broker.peers[0]
            for mid, body in enumerate(junk, start=1):
                peer.send("devices/noisy/readings", body, mid=mid)
            peer.send("devices/honest/readings", b"honest's", mid=601)
            peer.send("devices/honest/readings", b"good", mid=602)
            await until(lambda: peer.acks == list(range(1, 603)))
        kept = await StoredDeadLetters(pool).page(DeadLetterFilter(), limit=1000)
    assert sum([one.count for one in kept if one.device == "noisy"]) == 600
    assert len([one for one in kept if one.device == "noisy"]) <= 20
    assert [(one.count, one.payload) for one in kept if one.device == "honest"] == [(1, b"honest's")]


async def test_qos_0_is_bounded_and_leaves_qos_1_alone(broker: ScriptedBroker) -> None:
    admission = Gate()
    intake = ScriptedIntake(admission)
    async with running(settings(broker, receive_max=5), intake):
        peer = broker.peers[0]
        for number in range(50):
            peer.send(TOPIC, b"loose %d" % number, mid=0, qos=0)
        peer.send(TOPIC, b"bound", mid=9)
        await until(lambda: b"bound" in intake.begun)
        assert len(intake.begun) == 10 + 1
        admission.open_all()
        await until(lambda: peer.acks == [9])
        peer.send(TOPIC, b"after", mid=0, qos=0)
        await until(lambda: b"after" in intake.stored)
        assert peer.acks == [9], "QoS 0 is never acknowledged"


async def test_qos_0_is_tried_again_over_a_lost_connection(broker: ScriptedBroker) -> None:
    admission = Gate()
    intake = ScriptedIntake(admission)
    async with running(settings(broker), intake):
        broker.peers[0].send(TOPIC, b"once", mid=0, qos=0)
        await until(lambda: intake.begun == [b"once"])
        broker.peers[0].writer.transport.abort()
        await until(lambda: len(broker.peers) == 2)
        admission.open(b"once")
        await until(lambda: intake.stored == [b"once"])


@pytest.mark.parametrize(
    "packet",
    [
        b"\x32\x05\x00\x50abc",  # the topic is longer than the packet
        b"\x32\x03\x00\x01a",  # no packet id, no properties
        b"\x36\x08\x00\x01a\x00\x01\x00xy",  # QoS 3
        publish_packet(TOPIC, b"x", mid=1, properties=b"\xff\x01"),  # a property that does not exist
        b"\x32\xff\xff\xff\xff\xff",  # a length of five bytes
        b"\x00\x00",  # no such packet
    ],
)
async def test_a_malformed_packet_costs_the_connection_only(broker: ScriptedBroker, packet: bytes) -> None:
    intake = ScriptedIntake()
    async with running(settings(broker), intake):
        broker.peers[0].writer.write(packet)
        await until(lambda: len(broker.peers) == 2, "a new connection")
        broker.peers[1].send(TOPIC, b"fine", mid=1)
        await until(lambda: broker.peers[1].acks == [1])
    assert intake.begun == [b"fine"]


@pytest.mark.parametrize("topic", ["devices/readings", "devices//readings", "devices/a/b/readings", "x\0y"])
async def test_a_topic_that_names_no_device_is_kept_and_acknowledged(broker: ScriptedBroker, topic: str) -> None:
    intake, letters = ScriptedIntake(), Letters()
    async with running(settings(broker), intake, letters):
        broker.peers[0].send(topic, b"body", mid=3)
        await until(lambda: broker.peers[0].acks == [3])
    (letter,) = letters.kept
    assert (letter.source, letter.code, letter.device, letter.payload) == ("mqtt", "bad_topic", None, b"body")
    assert "\0" not in (letter.topic or "")
    assert intake.begun == []


async def test_a_topic_that_is_not_unicode_is_kept_and_acknowledged(broker: ScriptedBroker) -> None:
    letters = Letters()
    async with running(settings(broker), ScriptedIntake(), letters):
        packet = publish_packet(TOPIC, b"body", mid=3).replace(b"d1", b"\xff\xfe")
        broker.peers[0].writer.write(packet.replace(b"devices", b"devic\xffs"))
        await until(lambda: broker.peers[0].acks == [3])
    assert letters.kept[0].code == "bad_topic"
