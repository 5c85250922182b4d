"""The MQTT door against a broker that follows a script: connections, refusals, replies, TLS."""

import asyncio
import ssl
import subprocess
import threading
from pathlib import Path

import pytest

from gateway.core.settings import MqttSettings
from gateway.mqtt.address import Address
from gateway.mqtt.connection import BrokerConnection
from gateway.telemetry import mqtt_events
from tests.builders.mqtt.parts import (
    DEADLINE_SECS,
    TOPIC,
    ScriptedIntake,
    consumer_of,
    running,
    settings,
    until,
)
from tests.fakes.scripted_broker import ScriptedBroker, publish_packet, scripted_broker


async def test_connect_asks_for_a_persistent_session_with_a_window(broker: ScriptedBroker) -> None:
    async with running(settings(broker, receive_max=321, share="gateway"), ScriptedIntake()):
        connect = broker.peers[0].connect
        assert connect[:7] == b"\x00\x04MQTT\x05"
        assert connect[7] == 0b1100_0000, "user name and password, clean start off, no will"
        assert b"\x11" + (86_400).to_bytes(4, "big") in connect, "session expiry interval"
        assert b"\x21" + (321).to_bytes(2, "big") in connect, "receive maximum"
        assert connect.endswith(b"\x00\x09gateway-1\x00\x01u\x00\x04p@ss")
        assert broker.peers[0].filter == "$share/gateway/devices/+/readings"


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


async def test_a_connection_made_after_it_was_given_up_is_closed(broker: ScriptedBroker) -> None:
    link = BrokerConnection(
        Address("127.0.0.1", broker.port), lambda _: None, client_id="g", receive_max=5, session_expiry_secs=5
    )
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


async def test_a_reply_larger_than_the_broker_takes_is_not_sent(broker: ScriptedBroker) -> None:
    broker.connack_properties = b"\x27" + (200).to_bytes(4, "big")  # maximum packet size
    asking = asking_on("devices/d1/receipts")
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


def asking_on(topic: str) -> bytes:
    """The property Response Topic."""
    return b"\x08" + len(topic).to_bytes(2, "big") + topic.encode()


@pytest.mark.parametrize("topic", ["devices/d2/receipts", "devices/d2/readings", "$SYS/x", "a/+/b", "a/#"])
async def test_a_reply_cannot_be_sent_where_it_does_harm(broker: ScriptedBroker, topic: str) -> None:
    asking = asking_on(topic)
    async with running(settings(broker), ScriptedIntake()):
        peer = broker.peers[0]
        peer.writer.write(publish_packet(TOPIC, b"a", mid=1, properties=asking))
        peer.writer.write(publish_packet(TOPIC, b"b", mid=2, properties=asking_on("devices/d1/receipts")))
        await until(lambda: peer.acks == [1, 2] and len(peer.published) == 1)
        assert peer.published[0].startswith(b"\x00\x13devices/d1/receipts")


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
        secured = MqttSettings(url=f"mqtts://127.0.0.1:{broker.port}", ca_file=str(cert), receive_max=1000)
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
        consumer = consumer_of(MqttSettings(url=f"mqtts://127.0.0.1:{broker.port}"), ScriptedIntake())
        consumer.start()
        await until(lambda: consumer.last_error is not None)
        assert "CERTIFICATE_VERIFY_FAILED" in (consumer.last_error or "")
        await consumer.stop(within_secs=0)
        assert broker.connects == 0
