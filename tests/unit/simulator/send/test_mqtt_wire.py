import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.core.errors import ProtocolError
from simulator.send.drivers import mqtt_wire as wire

CONNACK = b"\x20\x02\x00\x00"
PINGRESP = b"\xd0\x00"


def test_connect_golden() -> None:
    assert wire.connect("dev", keepalive=15, clean=False) == b"\x10\x0f\x00\x04MQTT\x04\x00\x00\x0f\x00\x03dev"
    assert wire.connect("dev", keepalive=300, clean=True, user="u", password="pw") == (
        b"\x10\x16\x00\x04MQTT\x04\xc2\x01\x2c\x00\x03dev\x00\x01u\x00\x02pw"
    )


def test_publish_golden() -> None:
    assert wire.publish(b"a/b", b"hi", packet_id=0x1234) == b"\x32\x09\x00\x03a/b\x12\x34hi"
    assert wire.again(wire.publish(b"a/b", b"hi", packet_id=1)) == b"\x3a\x09\x00\x03a/b\x00\x01hi"


@pytest.mark.parametrize(
    ("size", "length"),
    [(0, b"\x05"), (122, b"\x7f"), (123, b"\x80\x01"), (16_378, b"\xff\x7f"), (16_379, b"\x80\x80\x01")],
)
def test_remaining_length_golden(size: int, length: bytes) -> None:
    packet = wire.publish(b"t", b"x" * size, packet_id=1)
    assert packet[1 : 1 + len(length)] == length
    assert len(packet) == 1 + len(length) + 5 + size


def test_what_a_broker_says_one_byte_at_a_time() -> None:
    reader = wire.PacketReader()
    stream = CONNACK + b"\x40\x02\x12\x34" + PINGRESP + b"\x40\x02\x00\x01"
    packets = [packet for i in range(len(stream)) for packet in reader.feed(stream[i : i + 1])]
    assert [(p.kind, p.number) for p in packets] == [
        (wire.PacketKind.CONNACK, 0),
        (wire.PacketKind.PUBACK, 0x1234),
        (wire.PacketKind.PINGRESP, 0),
        (wire.PacketKind.PUBACK, 1),
    ]


@given(st.lists(st.integers(1, 65_535), max_size=50), st.lists(st.integers(0, 200), max_size=10))
def test_acks_survive_any_cutting(ids: list[int], cuts: list[int]) -> None:
    stream = b"".join(b"\x40\x02" + i.to_bytes(2, "big") for i in ids)
    places = sorted({0, len(stream), *(min(cut, len(stream)) for cut in cuts)})
    reader = wire.PacketReader()
    found = [p.number for a, b in pairwise(places) for p in reader.feed(stream[a:b])]
    assert found == ids


@given(st.binary(max_size=64))
def test_any_bytes_give_packets_or_a_protocol_error(data: bytes) -> None:
    reader = wire.PacketReader()
    try:
        packets = reader.feed(data)
    except ProtocolError:
        return
    assert all(0 <= packet.number <= 0xFFFF for packet in packets)


@pytest.mark.parametrize(
    "data",
    [
        b"\x30\x05\x00\x01ahi",  # a PUBLISH: we never subscribed
        b"\x20\x03\x00\x00\x00",  # a CONNACK of three bytes
        b"\x40\x03\x00\x01\x00",  # a PUBACK of MQTT 5
        b"\x20\xff\xff\xff\xff\x01",  # a length of more than four bytes
        b"\x20\xff\xff\xff\x7f",  # 256 MB to come
    ],
)
def test_what_is_no_answer_to_a_publisher(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        wire.PacketReader().feed(data)


@given(st.lists(st.integers(1, 65_535), max_size=50))
def test_pubacks_at_once_are_those_packet_by_packet(numbers: list[int]) -> None:
    stream = b"".join(b"\x40\x02" + number.to_bytes(2, "big") for number in numbers)
    assert wire.pubacks(stream) == tuple(numbers) == tuple(p.number for p in wire.PacketReader().feed(stream))


@given(st.lists(st.integers(0, 65_535), max_size=8), st.integers(0, 40), st.integers(0, 2), st.binary(max_size=5))
def test_what_is_not_pubacks_alone_is_for_the_reader(numbers: list[int], at: int, away: int, more: bytes) -> None:
    """Pubacks with some bytes put in, or in the place of others."""
    stream = b"".join(b"\x40\x02" + number.to_bytes(2, "big") for number in numbers)
    harmed = stream[:at] + more + stream[at + away :]
    is_pubacks = re.fullmatch(rb"(?s)(?:\x40\x02..)*", harmed) is not None
    assert (wire.pubacks(harmed) is not None) == is_pubacks


@pytest.mark.parametrize("stream", [CONNACK, PINGRESP, b"\x40\x02\x00", b"\x40\x02\x00\x01\x40", b"\x40\x03\x00\x01"])
def test_a_piece_of_a_puback_or_another_packet_is_for_the_reader(stream: bytes) -> None:
    assert wire.pubacks(stream) is None
