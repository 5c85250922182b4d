import gzip
import json
from typing import Any

import numpy as np
import orjson
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from simulator.plan.fleet import Fleet, Lane
from simulator.plan.scenario import Shape
from tests.fakes.fake_gateway import messages_of
from tests.unit.simulator.cases import METRICS, START_MS, fleet, lane, native_encoder

SHAPES: tuple[Shape, ...] = ("flat", "values", "readings", "columns")
Readings = dict[tuple[str, int, str], Any]

http_lanes = st.builds(
    lambda devices, runs, run, posts: lane(devices=devices, messages=runs * run, run=run, posts=posts),
    st.integers(1, 7),
    st.integers(1, 4),
    st.integers(1, 4),
    st.integers(1, 12),
)
mqtt_lanes = st.builds(
    lambda devices, run, posts: lane("mqtt", devices=devices, messages=run, run=run, posts=posts),
    st.integers(1, 7),
    st.integers(1, 5),
    st.integers(1, 12),
)


def _meant(given_fleet: Fleet, given_lane: Lane, post: int) -> Readings:
    """What a post should say, one reading at a time."""
    device, n = given_lane.said_by(given_lane.messages_of(post, 1))
    meant = {}
    for d, k in zip(device.tolist(), n.tolist(), strict=True):
        for i, metric in enumerate(given_fleet.metrics):
            (value,) = metric.values(given_fleet.codes(i, np.array([d]), np.array([k]))).tolist()
            meant[given_fleet.name(d), given_lane.time_ms(k), metric.name] = value
    return meant


def _said(body: bytes, device: str = "") -> Readings:
    parsed = json.loads(body)
    items = parsed if isinstance(parsed, list) else [parsed]
    said = {}
    for item in items:
        for name, ts, values in messages_of(item, device):
            for metric, value in values.items():
                assert (name, ts, metric) not in said
                said[name, ts, metric] = value
    return said


@given(http_lanes, st.sampled_from(SHAPES), st.integers(0, 3))
def test_decoding_a_request_gives_back_its_readings(given_lane: Lane, shape: Shape, seed: int) -> None:
    encoder = native_encoder(fleet(seed=seed), given_lane, shapes=(shape,))
    for number in range(given_lane.posts):
        post = encoder.post(number)
        assert _said(post.body) == _meant(fleet(seed=seed), given_lane, number)


@given(mqtt_lanes, st.sampled_from(SHAPES))
def test_decoding_a_publish_gives_back_its_readings(given_lane: Lane, shape: Shape) -> None:
    encoder = native_encoder(fleet(), given_lane, shapes=(shape,))
    for number in range(given_lane.posts):
        post = encoder.post(number)
        _, device, _ = post.topic.decode().split("/")
        assert b"device" not in post.body
        assert _said(post.body, device) == _meant(fleet(), given_lane, number)


def test_the_same_post_is_the_same_bytes_however_it_is_reached() -> None:
    given_lane = lane(posts=5_000)
    straight = native_encoder(fleet(), given_lane, shapes=("values",))
    leaping = native_encoder(fleet(), given_lane, shapes=("values",))
    wanted = {number: straight.post(number).body for number in range(given_lane.posts)}
    for number in (0, 3, 777, 778, 4_999):
        assert leaping.post(number).body == wanted[number]


def test_bodies_take_turns_in_shape_and_compression() -> None:
    encoder = native_encoder(
        fleet(), lane(messages=2, run=2), shapes=("flat", "columns"), compression=("none", "gzip", "zstd")
    )
    posts = [encoder.post(number) for number in range(6)]
    assert [post.encoding for post in posts] == ["", "gzip", "zstd"] * 2
    plain = [post.body for post in posts]
    for number, undo in ((1, gzip.decompress), (2, zstd.decompress), (4, gzip.decompress), (5, zstd.decompress)):
        plain[number] = undo(plain[number])
    for number, body in enumerate(plain):
        assert _said(body) == _meant(fleet(), lane(messages=2, run=2), number)
        assert (b"metric" in body) == (number % 2 == 0)


def test_a_compressed_post_is_the_same_bytes_each_time() -> None:
    one, other = (native_encoder(fleet(), lane(), shapes=("values",), compression=("gzip", "zstd")) for _ in range(2))
    assert [one.post(i).body for i in range(4)] == [other.packed(other.altered(i)).body for i in range(4)]


def test_a_request_looks_like_the_documentation() -> None:
    assert orjson.loads(native_encoder(fleet(), lane(messages=1), shapes=("flat",)).post(0).body)[0] == {
        "device": "sim-1-test-00000",
        "metric": "temperature",
        "ts": START_MS,
        "value": _value(0, "temperature"),
    }
    assert orjson.loads(native_encoder(fleet(), lane(messages=2, run=2), shapes=("columns",)).post(0).body) == [
        {
            "device": "sim-1-test-00000",
            "ts": [START_MS - 100, START_MS],
            "values": {m.name: [_value(n, m.name) for n in (0, 1)] for m in METRICS},
        }
    ]


def test_a_single_message_is_published_alone() -> None:
    post = native_encoder(fleet(), lane("mqtt", messages=1), shapes=("values",)).post(1)
    assert post.topic == b"devices/sim-1-test-00001/readings"
    assert set(orjson.loads(post.body)) == {"ts", "values"}


def _value(n: int, name: str) -> object:
    i = [m.name for m in METRICS].index(name)
    (value,) = METRICS[i].values(fleet().codes(i, np.array([0]), np.array([n]))).tolist()
    return value
