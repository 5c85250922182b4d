"""The MQTT door against a broker that follows a script: order, connections, refusals, floods, bad packets, TLS."""

import asyncio
import ssl
import subprocess
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest

from gateway.errors import Overloaded
from gateway.mqtt import consumer
from gateway.mqtt.address import Address
from gateway.mqtt.link import Link
from gateway.mqtt.message import Message
from gateway.mqtt.session import Session
from gateway.settings import Mqtt
from gateway.telemetry import mqtt_events
from tests.mqtt_ground.parts import (
    CLEAN,
    DEADLINE_SECS,
    Gate,
    Letters,
    ScriptedIntake,
    consumer_of,
    failing,
    running,
    until,
)
from tests.mqtt_ground.scripted_broker import PINGRESP, ScriptedBroker, publish_packet, scripted_broker

TOPIC = "devices/d1/readings"


@pytest.fixture
async def broker() -> AsyncIterator[ScriptedBroker]:
    async with scripted_broker() as one:
        yield one


def settings(broker: ScriptedBroker, *, receive_max: int = 100, share: str = "") -> Mqtt:
    url = f"mqtt://u:p%40ss@127.0.0.1:{broker.port}"
    return Mqtt(url=url, receive_max=receive_max, share=share, client_id="gateway-1")


async def test_connect_asks_for_a_persistent_session_with_a_window(broker: ScriptedBroker) -> None:
    async with running(settings(broker, receive_max=321, share="gateway"), ScriptedIntake()):
        connect = broker.peers[0].connect
        assert connect[:7] == b"\x00\x04MQTT\x05"
        assert connect[7] == 0b1100_0000, "user name and password, clean start off, no will"
        assert b"\x11" + (86_400).to_bytes(4, "big") in connect, "session expiry interval"
        assert b"\x21" + (321).to_bytes(2, "big") in connect, "receive maximum"
        assert connect.endswith(b"\x00\x09gateway-1\x00\x01u\x00\x04p@ss")
        assert broker.peers[0].filter == "$share/gateway/devices/+/readings"


async def test_nothing_is_acknowledged_before_take_returns(broker: ScriptedBroker) -> None:
    gate = Gate()
    intake = ScriptedIntake(gate)
    async with running(settings(broker), intake):
        peer = broker.peers[0]
        peer.send(TOPIC, b"a", mid=7)
        await until(lambda: intake.begun == [b"a"])
        assert peer.acks == []
        gate.open(b"a")
        await until(lambda: peer.acks == [7])
    assert intake.devices == ["d1"]
    assert all(principal.writes_any for principal in intake.principals)


@pytest.mark.parametrize("seed", range(5))
async def test_acks_keep_the_order_of_arrival_whatever_is_stored_first(broker: ScriptedBroker, seed: int) -> None:
    gate = Gate()
    intake = ScriptedIntake(gate)
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
            gate.open(bodies[index])
            opened.add(index)
            safe = next((i for i in range(len(bodies)) if i not in opened), len(bodies))
            await until(lambda: bodies[index] in intake.stored)  # noqa: B023 -- awaited before the next turn
            await until(lambda: len(peer.acks) == safe)  # noqa: B023 -- same
            assert peer.acks == mids[:safe]


async def test_an_ack_never_crosses_to_the_next_connection(broker: ScriptedBroker) -> None:
    gate = Gate()
    intake = ScriptedIntake(gate)
    async with running(settings(broker), intake):
        broker.peers[0].send(TOPIC, b"old", mid=1)
        await until(lambda: intake.begun == [b"old"])
        broker.peers[0].writer.transport.abort()
        await until(lambda: len(broker.peers) == 2)
        second = broker.peers[1]
        second.send(TOPIC, b"new", mid=1)  # rumqttd numbers from 1 again
        await until(lambda: intake.begun == [b"old", b"new"])
        gate.open(b"old")
        second.send(TOPIC, b"more", mid=2)
        await until(lambda: len(intake.begun) == 3)
        assert second.acks == []
        gate.open(b"new")
        await until(lambda: second.acks == [1])
        assert intake.stored == [b"old", b"new"], "a broker that crashed may not know the old one any more"


async def test_what_was_left_of_two_connections_is_not_kept_for_ever(broker: ScriptedBroker) -> None:
    gate = Gate()
    intake = ScriptedIntake(gate)
    async with running(settings(broker), intake) as consumer:
        for number in range(4):
            await until(lambda: len(broker.peers) == number + 1)  # noqa: B023 -- awaited within the turn
            broker.peers[number].send(TOPIC, b"%d" % number, mid=1)
            await until(lambda: len(intake.begun) == number + 1)  # noqa: B023
            broker.peers[number].reset()
        await until(lambda: len(broker.peers) == 5)
        await until(lambda: len(consumer._tasks) == 1)
        gate.open_all()
        await until(lambda: intake.stored == [b"3"])
        assert consumer._held_bytes == [0, 0]


@pytest.mark.parametrize("code", [0x86, 0x87, 0x88])
async def test_a_refused_connect_is_shown_once_and_tried_again(
    broker: ScriptedBroker, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(mqtt_events, "unreachable", lambda _address, error: said.append(error))
    broker.connack = code
    consumer = consumer_of(settings(broker), ScriptedIntake())
    consumer.start()
    try:
        await until(lambda: broker.connects >= 3, "three attempts")
        assert not consumer.connected
        assert consumer.last_error is not None
        assert f"code:{code}" in consumer.last_error
        assert "p@ss" not in consumer.last_error
        assert said == [consumer.last_error]
        broker.connack = 0x97
        await until(lambda: len(said) == 2, "another reason is said again")
        broker.connack = 0
        await until(lambda: consumer.connected)
        assert consumer.last_error is None
    finally:
        await consumer.stop(within_secs=0)


@pytest.mark.parametrize(("code", "words"), [(0x87, "refuses"), (0x9E, "refuses"), (0, "only QoS 0")])
async def test_a_refused_subscription_is_an_error(broker: ScriptedBroker, code: int, words: str) -> None:
    broker.suback = code
    consumer = consumer_of(settings(broker), ScriptedIntake())
    consumer.start()
    try:
        await until(lambda: broker.connects >= 2, "a second attempt")
        assert not consumer.connected
        assert words in (consumer.last_error or "")
        broker.suback = 1
        await until(lambda: consumer.connected)
    finally:
        await consumer.stop(within_secs=0)


async def test_it_comes_back_after_a_clean_disconnect_by_the_broker(broker: ScriptedBroker) -> None:
    async with running(settings(broker), ScriptedIntake()) as consumer:
        for number in range(1, 4):
            broker.peers[-1].disconnect()
            await until(lambda: len(broker.peers) == number + 1)  # noqa: B023 -- awaited before the next turn
        await until(lambda: consumer.connected)


async def test_it_comes_back_when_hung_up_on_right_after_connecting(broker: ScriptedBroker) -> None:
    broker.hang_ups = 3
    async with running(settings(broker), ScriptedIntake()):
        assert broker.connects == 4


async def test_a_broker_that_ignores_the_window_is_held_back(broker: ScriptedBroker) -> None:
    gate = Gate()
    intake = ScriptedIntake(gate)
    mids = list(range(1, 501))
    async with running(settings(broker, receive_max=5), intake):
        peer = broker.peers[0]
        for mid in mids:
            peer.send(TOPIC, b"%d" % mid, mid=mid)
        await until(lambda: len(intake.begun) == 10)
        peer.send(TOPIC, b"last", mid=501)
        await asyncio.sleep(0.05)  # nothing to wait for: it must not read on
        assert len(intake.begun) == 10
        for mid in mids[:5]:
            gate.open(b"%d" % mid)
        await until(lambda: len(intake.begun) == 15, "reading again when half is stored")
        gate.open_all()
        await until(lambda: peer.acks == [*mids, 501])
    assert broker.connects == 1


async def test_large_messages_are_bounded_by_their_bytes(
    broker: ScriptedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "MAX_HELD_BYTES", 250_000)
    gate = Gate()
    intake = ScriptedIntake(gate)
    bodies = [bytes((number,)) * 100_000 for number in range(20)]
    async with running(settings(broker), intake):
        peer = broker.peers[0]
        for mid, body in enumerate(bodies, start=1):
            peer.send(TOPIC, body, mid=mid)
        await until(lambda: intake.begun == bodies[:3])
        await asyncio.sleep(0.05)  # nothing to wait for: it must not read on
        assert len(intake.begun) == 3
        gate.open_all()
        await until(lambda: peer.acks == list(range(1, 21)))
    assert intake.begun == bodies


async def test_a_pause_does_not_outlive_its_connection(broker: ScriptedBroker) -> None:
    gate = Gate()
    intake = ScriptedIntake(gate)
    async with running(settings(broker, receive_max=5), intake) as consumer:
        for mid in range(1, 30):
            broker.peers[0].send(TOPIC, b"%d" % mid, mid=mid)
        await until(lambda: len(intake.begun) == 10)
        broker.peers[0].reset()
        for mid in range(1, 6):
            gate.open(b"%d" % mid)  # it reads on, pauses again, and then finds that it cannot acknowledge
        await until(lambda: len(broker.peers) == 2)
        before = len(intake.begun)
        for mid in range(1, 30):
            broker.peers[1].send(TOPIC, b"again %d" % mid, mid=mid)
        await until(lambda: len(intake.begun) == before + 10)
        await asyncio.sleep(0.05)  # nothing to wait for: it must not read on
        assert len(intake.begun) == before + 10, "the second connection is held back like the first"
        gate.open_all()
        await until(lambda: broker.peers[1].acks == list(range(1, 30)))
        assert consumer._held_bytes == [0, 0]


async def test_what_was_acknowledged_just_before_closing_is_sent(broker: ScriptedBroker) -> None:
    seen: list[Message] = []
    session = Session(settings(broker), "a/+", client_id="g", rng=Random(1))
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


async def test_qos_0_is_bounded_and_leaves_qos_1_alone(broker: ScriptedBroker) -> None:
    gate = Gate()
    intake = ScriptedIntake(gate)
    async with running(settings(broker, receive_max=5), intake):
        peer = broker.peers[0]
        for number in range(50):
            peer.send(TOPIC, b"loose %d" % number, mid=0, qos=0)
        peer.send(TOPIC, b"bound", mid=9)
        await until(lambda: b"bound" in intake.begun)
        assert len(intake.begun) == 10 + 1
        gate.open_all()
        await until(lambda: peer.acks == [9])
        peer.send(TOPIC, b"after", mid=0, qos=0)
        await until(lambda: b"after" in intake.stored)
        assert peer.acks == [9], "QoS 0 is never acknowledged"


async def test_qos_0_is_tried_again_over_a_lost_connection(broker: ScriptedBroker) -> None:
    gate = Gate()
    intake = ScriptedIntake(gate)
    async with running(settings(broker), intake):
        broker.peers[0].send(TOPIC, b"once", mid=0, qos=0)
        await until(lambda: intake.begun == [b"once"])
        broker.peers[0].writer.transport.abort()
        await until(lambda: len(broker.peers) == 2)
        gate.open(b"once")
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
    gate = Gate()
    intake = ScriptedIntake(gate)
    consumer = consumer_of(settings(broker), intake)
    consumer.start()
    await until(lambda: consumer.connected)
    peer = broker.peers[0]
    peer.send(TOPIC, b"in hand", mid=5)
    await until(lambda: intake.begun == [b"in hand"])
    stopping = asyncio.create_task(consumer.stop(within_secs=10), name="stopping")
    await asyncio.sleep(0)
    peer.send(TOPIC, b"too late", mid=6)
    gate.open(b"in hand")
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


async def test_a_connection_made_after_it_was_given_up_is_closed(broker: ScriptedBroker) -> None:
    link = Link(Address("127.0.0.1", broker.port), lambda _: None, client_id="g", receive_max=5, session_expiry_secs=5)
    may_connect, connect = threading.Event(), link._client_connect

    def slow_network() -> None:
        assert may_connect.wait(DEADLINE_SECS)
        connect()

    link._client_connect = slow_network  # type: ignore[method-assign]
    opening = asyncio.create_task(link.open("a/+"), name="opening")
    await asyncio.sleep(0)
    opening.cancel()
    link.drop()
    may_connect.set()
    await until(lambda: broker.accepted == 1)
    await until(lambda: not broker.open, "the connection is closed")


async def test_stop_before_start_and_without_a_broker() -> None:
    nobody = Mqtt(url="mqtt://127.0.0.1:1")
    await consumer_of(nobody, ScriptedIntake()).stop(within_secs=1)
    consumer = consumer_of(nobody, ScriptedIntake())
    consumer.start()
    await until(lambda: consumer.last_error is not None)
    assert "refused" in (consumer.last_error or "")
    await consumer.stop(within_secs=1)


async def test_a_reply_larger_than_the_broker_takes_is_not_sent(broker: ScriptedBroker) -> None:
    broker.connack_properties = b"\x27" + (200).to_bytes(4, "big")  # maximum packet size
    asking = b"\x08\x00\x07answers"
    async with running(settings(broker), ScriptedIntake()):
        peer = broker.peers[0]
        peer.writer.write(publish_packet(TOPIC, b"a", mid=1, properties=asking))
        await until(lambda: len(peer.published) == 1 and peer.acks == [1])
    async with running(settings(broker), ScriptedIntake()):
        peer = broker.peers[1]
        peer.writer.write(publish_packet(TOPIC, b"a", mid=1, properties=asking + b"\x09\x00\x80" + bytes(128)))
        await until(lambda: peer.acks == [1])
        peer.writer.write(publish_packet(TOPIC, b"b", mid=2, properties=asking))
        await until(lambda: len(peer.published) == 1 and peer.acks == [1, 2])


@pytest.mark.parametrize("topic", ["devices/d2/readings", "$SYS/x", "a/+/b", "a/#"])
async def test_a_reply_cannot_be_sent_where_it_does_harm(broker: ScriptedBroker, topic: str) -> None:
    asking = b"\x08" + len(topic).to_bytes(2, "big") + topic.encode()
    async with running(settings(broker), ScriptedIntake()):
        peer = broker.peers[0]
        peer.writer.write(publish_packet(TOPIC, b"a", mid=1, properties=asking))
        peer.writer.write(publish_packet(TOPIC, b"b", mid=2, properties=b"\x08\x00\x02ok"))
        await until(lambda: peer.acks == [1, 2] and len(peer.published) == 1)
        assert peer.published[0].startswith(b"\x00\x02ok")


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    subject = ["-subj", "/CN=broker", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    try:
        subprocess.run([*command, "-keyout", key, "-out", cert, *subject], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("the openssl program is not installed")
    return key, cert


async def test_tls_reads_whole_bursts(certificate: tuple[Path, Path]) -> None:
    key, cert = certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    async with scripted_broker(context) as broker:
        secured = Mqtt(url=f"mqtts://127.0.0.1:{broker.port}", ca_file=str(cert), receive_max=1000)
        intake = ScriptedIntake()
        async with running(secured, intake):
            peer = broker.peers[0]
            burst = [publish_packet(TOPIC, b"%d" % mid, mid=mid) for mid in range(1, 501)]
            peer.writer.write(b"".join(burst))  # one TLS record holds many packets, and the socket stays silent
            await until(lambda: peer.acks == list(range(1, 501)))


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # paho leaves that socket to the collector
async def test_an_unknown_certificate_is_refused(certificate: tuple[Path, Path]) -> None:
    key, cert = certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    async with scripted_broker(context) as broker:
        consumer = consumer_of(Mqtt(url=f"mqtts://127.0.0.1:{broker.port}"), ScriptedIntake())
        consumer.start()
        await until(lambda: consumer.last_error is not None)
        assert "CERTIFICATE_VERIFY_FAILED" in (consumer.last_error or "")
        await consumer.stop(within_secs=0)
        assert broker.connects == 0
