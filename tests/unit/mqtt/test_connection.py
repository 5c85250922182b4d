"""The short way through a PUBLISH agrees with paho's own, for any packet: what is private there is watched here."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from gateway.mqtt.address import Address
from gateway.mqtt.connection import BrokerConnection
from gateway.mqtt.message import MqttMessage
from tests.fakes.scripted_broker import publish_packet

TOPIC = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)


def link(deliver: Callable[[MqttMessage], None]) -> BrokerConnection:
    return BrokerConnection(Address("127.0.0.1", 1), deliver, client_id="g", receive_max=10, session_expiry_secs=10)


def read(packet: bytes, *, short: bool) -> list[tuple[object, ...]]:
    """What comes out of a PUBLISH: as paho hands it over, or as `_fast_publish` does."""
    seen: list[tuple[object, ...]] = []
    one = link(lambda m: seen.append((m.topic, m.payload, m.qos, m._mid, m.response_topic, m.correlation_data)))
    size = next(i for i in range(1, 6) if not packet[i] & 0x80) + 1
    one._client._in_packet["command"] = packet[0]
    one._client._in_packet["packet"] = bytearray(packet[size:])
    (one._client._handle_publish if short else one._slow_publish)()
    return seen


@given(TOPIC, st.binary(max_size=300), st.integers(1, 65_535), st.sampled_from([0, 1]))
async def test_both_ways_read_the_same(topic: str, payload: bytes, mid: int, qos: int) -> None:
    packet = publish_packet(topic, payload, mid=mid, qos=qos)
    assert read(packet, short=True) == read(packet, short=False)
    assert read(packet, short=True) == [(topic, payload, qos, mid if qos else 0, None, None)]


@given(TOPIC, st.binary(max_size=300), st.binary(max_size=200))
async def test_properties_take_the_long_way(topic: str, payload: bytes, correlation: bytes) -> None:
    properties = b"\x08\x00\x01r\x09" + len(correlation).to_bytes(2, "big") + correlation
    packet = publish_packet(topic, payload, mid=5, properties=properties)
    assert read(packet, short=True) == [(topic, payload, 1, 5, "r", correlation)]


async def test_payloads_are_bytes_that_stay_the_same() -> None:
    for short in (True, False):
        ((_, payload, *_),) = read(publish_packet("t", b"abc", mid=1), short=short)
        assert type(payload) is bytes


async def test_a_dropped_link_neither_delivers_nor_acknowledges() -> None:
    seen: list[MqttMessage] = []
    one = link(seen.append)
    one.drop()
    one._hand_over(b"t", b"", qos=1, mid=1, properties=None)
    one.ack(1)
    one.reply("t", b"x", None)
    assert seen == []
    assert not one._client.want_write()
