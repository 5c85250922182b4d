"""Line protocol as InfluxDB documents it, and what its answers mean."""

import re
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.plan.fleet import Lane
from simulator.send.encode import Encoder, Head, Run
from simulator.send.receipts import Meaning
from simulator.targets.influx import InfluxTarget, Lines
from tests.fakes.fake_gateway import messages_of
from tests.unit.simulator.cases import METRICS, fleet, lane, native_encoder, plan

HEAD = Head("/write?db=x")


_LINE = re.compile(r"([^,]+),device=(\S+) (.+) (\d+)")


_FIELD = re.compile(r'(\w+)=("(?:[^"\\]|\\.)*"|[^,]+)(?:,|$)')


lanes = st.builds(
    lambda devices, runs, run, posts: lane(devices=devices, messages=runs * run, run=run, posts=posts),
    st.integers(1, 5),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(1, 6),
)


def value_of(text: str) -> Any:
    if text in {"true", "false"}:
        return text == "true"
    if text.startswith('"'):
        return re.sub(r'\\(["\\])', r"\1", text[1:-1])
    return int(text[:-1]) if text.endswith("i") else float(text)


def said(body: bytes) -> dict[tuple[str, int, str], Any]:
    """Read line protocol: (device, ms, metric) to value."""
    found = {}
    for line in body.decode().split("\n"):
        match = _LINE.fullmatch(line)
        assert match, line
        measurement, device, fields, ms = match.groups()
        assert device.startswith(measurement)
        for metric, value in _FIELD.findall(fields):
            found[device, int(ms), metric] = value_of(value)
    return found


@given(lanes)
def test_a_post_says_the_same_as_one_to_a_gateway(given_lane: Lane) -> None:
    encoder = Encoder(fleet(), given_lane, Lines(fleet(), HEAD, readings=given_lane.readings).write)
    native = native_encoder(fleet(), given_lane, shapes=("values",))
    for number in range(given_lane.posts):
        meant = {
            (device, ms, metric): value
            for item in orjson.loads(native.post(number).body)
            for device, ms, values in messages_of(item)
            for metric, value in values.items()
        }
        post = encoder.post(number)
        assert said(post.body) == meant
        assert post.head is HEAD


@given(st.lists(st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=20), min_size=1, max_size=3))
def test_any_text_comes_through(texts: list[str]) -> None:
    rows = [(1.5, 2.0, True, text) for text in texts]
    lines = Lines(fleet(), HEAD, readings=4 * len(texts))
    body = lines.write(0, [Run("sim-1-test-00000", list(range(len(texts))), rows)]).body
    found = said(body)
    assert [found["sim-1-test-00000", ms, METRICS[3].name] for ms in range(len(texts))] == texts


@pytest.mark.parametrize(
    ("status", "body", "meaning"),
    [
        (204, b"", Meaning.STORED),
        (200, b"", Meaning.REFUSED),
        (400, b'{"error":"partial write: field type conflict: input field \\"x\\" dropped=1"}', Meaning.DROPPED),
        (400, b'{"error":"partial write: points beyond retention policy dropped=2"}', Meaning.DROPPED),
        (400, b'{"error":"partial write: points beyond retention policy dropped=3"}', Meaning.UNCLEAR),
        (400, b'{"error":"partial write: unable to parse \'x\' dropped=0"}', Meaning.UNCLEAR),
        (400, b'{"error":"partial write: something dropped=99999999999999999999"}', Meaning.UNCLEAR),
        (400, b'{"error":"partial write: something"}', Meaning.UNCLEAR),
        (400, b'{"error":"unable to parse"}', Meaning.REFUSED),
        (401, b"", Meaning.REFUSED),
        (404, b'{"error":"database not found"}', Meaning.REFUSED),
        (413, b"", Meaning.REFUSED),
        (429, b"", Meaning.AGAIN),
        (500, b'{"error":"timeout"}', Meaning.AGAIN),
        (503, b"", Meaning.AGAIN),
    ],
)
def test_what_an_answer_means(status: int, body: bytes, meaning: Meaning) -> None:
    answer = Lines(fleet(), HEAD, readings=8).read(3, status, body)
    assert (answer.meaning, answer.status) == (meaning, status)
    if meaning is Meaning.REFUSED:
        assert (answer.refused, answer.codes) == (tuple(range(8)), {f"http_{status}": 8})
    if meaning is Meaning.DROPPED:
        assert answer.codes == {"partial_write": 4 if b"dropped=1" in body else 8}, "a point has four readings"


def test_where_it_writes_and_as_whom() -> None:
    (part,) = plan().parts()
    (run,) = [Run("sim-1-test-00000", [1], [(1.0,) * len(part.fleet.metrics)])]
    one = InfluxTarget(db="a b")
    two = InfluxTarget(db="bucket", org="my org")
    assert one.codec(part).write(0, [run]).head.path == "/write?db=a+b&precision=ms"
    assert two.codec(part).write(0, [run]).head.path == "/api/v2/write?org=my+org&bucket=bucket&precision=ms"
    assert (one.authorization("user:word"), two.authorization("t")) == ("Basic dXNlcjp3b3Jk", "Token t")
    assert one.authorization("") == two.authorization("") == ""
