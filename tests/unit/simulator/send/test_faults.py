"""Which post gets which fault, what that does to it, and what the right answer is."""

import gzip
import json
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.plan.faults import AGAIN, CONTENT, HTTP_ONLY, Draw, Fault
from simulator.plan.fleet import Lane, Transport
from simulator.plan.scenario import Assumed, FaultRates, Shape
from simulator.send.loads.spoil import GHOST, Spoiler
from simulator.send.loads.truth import Expected, Truth, judge
from simulator.send.receipts import Answer, Meaning
from tests.fakes.fake_gateway import messages_of
from tests.unit.simulator.cases import METRICS, fleet, lane, native_encoder

WIDTH = len(METRICS)
SHAPES: tuple[Shape, ...] = ("flat", "values", "readings", "columns")


USUAL = Assumed()
EVERY = FaultRates(**{fault.value: 0.05 for fault in CONTENT})


def draw(
    given_lane: Lane,
    rates: FaultRates = EVERY,
    *,
    assumed: Assumed = USUAL,
    salt: int = 1,
) -> Draw:
    return Draw(rates, assumed, given_lane, METRICS, salt=salt)


def spoiled(fault: Fault, shape: Shape, *, number: int = 4) -> tuple[bytes, bytes, Draw, str]:
    """A post with a fault and without it, the draw, and the encoding."""
    given_lane = lane(devices=3, messages=6, run=3, posts=9)
    one = draw(given_lane, FaultRates(**{fault.value: 1.0}), assumed=Assumed(max_body_bytes=10_000))
    encoder = native_encoder(fleet(), given_lane, shapes=(shape,))
    post = Spoiler(encoder, one, given_lane, METRICS).post(number, fault)
    return post.body, encoder.post(number).body, one, post.encoding


def said(body: bytes) -> dict[tuple[str, int, str], Any]:
    messages = [message for item in json.loads(body) for message in messages_of(item)]
    return {(name, ts, metric): value for name, ts, values in messages for metric, value in values.items()}


@pytest.mark.parametrize("rate", [0.01, 0.2])
def test_a_rate_is_the_share_of_posts_that_get_the_fault(rate: float) -> None:
    one = draw(lane(posts=50_000), FaultRates(nan=rate, duplicate=rate))
    found = Counter(one.fault(post) for post in range(50_000))
    assert found[Fault.NAN] / 50_000 == pytest.approx(rate, rel=0.15)
    assert found[Fault.DUPLICATE] / 50_000 == pytest.approx(rate, rel=0.15)
    assert set(found) == {Fault.NONE, Fault.NAN, Fault.DUPLICATE}


def test_one_by_one_and_all_at_once_are_the_same_draw() -> None:
    one = draw(lane(posts=1_000))
    posts = np.arange(1_000)
    for fault in CONTENT:
        assert one.having(fault, posts).tolist() == [post for post in range(1_000) if one.fault(post) is fault]
    assert one.readings(posts).tolist() == [one.reading(post) for post in range(1_000)]
    assert one.kinds(posts).tolist() != draw(lane(posts=1_000), salt=2).kinds(posts).tolist()


@pytest.mark.parametrize(
    ("transport", "assumed", "absent"),
    [
        ("mqtt", Assumed(), HTTP_ONLY),
        ("http", Assumed(unknown="auto"), {Fault.UNKNOWN_DEVICE}),
        ("http", Assumed(conflict="overwrite"), {Fault.CONFLICT}),
        ("http", Assumed(ahead="clamp"), {Fault.CLOCK_SKEW}),
    ],
)
def test_what_is_no_fault_here_is_not_drawn(transport: Transport, assumed: Assumed, absent: set[Fault]) -> None:
    given_lane = lane(transport, messages=1, posts=5_000)
    one = draw(given_lane, assumed=assumed)
    assert {one.fault(post) for post in range(5_000)} == {Fault.NONE, *CONTENT} - absent


@given(st.integers(1, 1_500), st.floats(0, 1), st.floats(0, 1), st.integers(0, 99))
def test_every_post_is_sent_once_in_whatever_order(posts: int, late: float, near: float, salt: int) -> None:
    one = draw(lane(posts=posts), FaultRates(late=late, out_of_order=near), salt=salt)
    sent = [one.post_at(slot) for slot in range(posts)]
    assert sorted(post for post, _ in sent) == list(range(posts))
    for slot, (post, order) in enumerate(sent):
        assert (order is Fault.NONE) == (post >= slot)
        assert order is not Fault.OUT_OF_ORDER or slot - post == 1
        assert abs(slot - post) < 256


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("fault", [Fault.NAN, Fault.NUL, Fault.TYPE_FLIP])
def test_one_reading_says_something_else_and_no_other_does(fault: Fault, shape: Shape) -> None:
    body, clean, one, _ = spoiled(fault, shape)
    before, after = said(clean), said(body)
    changed = [list(before).index(key) for key in before if not _same(before[key], after[key])]
    wanted = {Fault.NAN: b"NaN", Fault.NUL: b"\\u0000", Fault.TYPE_FLIP: b""}[fault]
    assert changed == [one.reading(4)]
    assert wanted in body
    assert list(before) == list(after)


def _same(a: Any, b: Any) -> bool:
    return type(a) is type(b) and a == b


@pytest.mark.parametrize("shape", SHAPES)
def test_a_wrong_clock_moves_one_message_into_the_future(shape: Shape) -> None:
    body, clean, one, _ = spoiled(Fault.CLOCK_SKEW, shape)
    before, after = list(said(clean)), list(said(body))
    moved = [i for i, (a, b) in enumerate(zip(before, after, strict=True)) if a != b]
    first = one.reading(4) // WIDTH * WIDTH
    assert moved == list(range(first, first + WIDTH))
    assert all(after[i][1] - before[i][1] > 9 * 365 * 86_400_000 for i in moved)


def test_faults_of_the_whole_body() -> None:
    body, clean, _, _ = spoiled(Fault.MALFORMED_JSON, "values")
    with pytest.raises(json.JSONDecodeError):
        json.loads(body)
    body, _, _, encoding = spoiled(Fault.TRUNCATED_GZIP, "values")
    assert encoding == "gzip"
    with pytest.raises(EOFError):
        gzip.decompress(body)
    body, clean, _, _ = spoiled(Fault.OVERSIZE, "values")
    assert len(body) == 10_001
    assert said(body) == said(clean)
    body, clean, _, _ = spoiled(Fault.UNKNOWN_DEVICE, "columns")
    assert {name for name, _, _ in said(body)} == {name + GHOST for name, _, _ in said(clean)}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_conflict_changes_one_value_and_not_its_kind(shape: Shape) -> None:
    given_lane = lane(devices=3, messages=6, run=3, posts=30)
    one = draw(given_lane, FaultRates(conflict=1.0))
    encoder = native_encoder(fleet(), given_lane, shapes=(shape,))
    spoiler, truth = Spoiler(encoder, one, given_lane, METRICS), Truth(one, given_lane)
    for number in range(30):
        before, after = said(encoder.post(number).body), said(spoiler.again(number, Fault.CONFLICT).body)
        (changed,) = [i for i, key in enumerate(before) if before[key] != after[key]]
        assert changed == one.reading(number)
        assert [type(value) for value in before.values()] == [type(value) for value in after.values()]
        expected = truth.again(number, Fault.CONFLICT, shape)
        assert (expected.status, expected.code, expected.is_again) == (207, "conflict", True)
        assert changed in expected.refused
        assert len(expected.refused) == (1 if shape == "flat" else WIDTH)


@pytest.mark.parametrize(
    ("fault", "status", "code", "refused"),
    [
        (Fault.NONE, 200, "", 0),
        (Fault.CHURN, 200, "", 0),
        (Fault.DUPLICATE, 200, "", 0),
        (Fault.TYPE_FLIP, 200, "", 0),
        (Fault.NAN, 207, "not_finite", 1),
        (Fault.NUL, 207, "bad_text", 1),
        (Fault.CLOCK_SKEW, 207, "too_far_ahead", WIDTH),
        (Fault.OVERSIZE, 413, "too_large", 2 * WIDTH),
        (Fault.BAD_TOKEN, 401, "unauthorized", 2 * WIDTH),
        (Fault.MALFORMED_JSON, 400, "bad_payload", 2 * WIDTH),
        (Fault.TRUNCATED_GZIP, 400, "bad_payload", 2 * WIDTH),
        (Fault.SLOW_SOCKET, 408, "body_timeout", 2 * WIDTH),
        (Fault.UNKNOWN_DEVICE, 422, "unknown_device", 2 * WIDTH),
    ],
)
def test_the_right_answers(fault: Fault, status: int, code: str, refused: int) -> None:
    given_lane = lane(messages=2)
    expected = Truth(draw(given_lane), given_lane).expected(3, fault)
    assert (expected.status, expected.code, len(expected.refused)) == (status, code, refused)


def test_where_kinds_may_not_change_a_flip_is_refused_and_alone_in_its_post_that_is_a_422() -> None:
    strict = Assumed(kind_change="refuse")
    for messages, status in ((2, 207), (1, 207)):
        given_lane = lane(messages=messages)
        expected = Truth(draw(given_lane, assumed=strict), given_lane).expected(0, Fault.TYPE_FLIP)
        assert (expected.status, expected.code) == (status, "type_conflict")
    single = lane(messages=1)
    assert Truth(draw(single), single).expected(0, Fault.CLOCK_SKEW).status == 422


REFUSED = Expected(207, "not_finite", (3,))


@pytest.mark.parametrize(
    ("expected", "answer", "wrong"),
    [
        (Expected(), Answer(Meaning.STORED, 200, "db", accepted=8), ""),
        (Expected(), Answer(Meaning.REFUSED, 413, codes=Counter(too_large=8)), "413 too_large"),
        (Expected(), Answer(Meaning.UNCLEAR, 200, reason="receipt_count"), "200 receipt_count"),
        (REFUSED, Answer(Meaning.PARTLY, 207, "db", Counter(not_finite=1), (3,)), ""),
        (REFUSED, Answer(Meaning.PARTLY, 207, "db", Counter(not_finite=1), (4,)), "207 for other readings"),
        (REFUSED, Answer(Meaning.PARTLY, 207, "db", Counter(bad_value=1), (3,)), "207 bad_value"),
        (REFUSED, Answer(Meaning.STORED, 200, "db", accepted=8), "200"),
        (Expected(401, "unauthorized"), Answer(Meaning.REFUSED, 401), "401 without a code"),
        (Expected(408, "body_timeout"), Answer(Meaning.AGAIN, 408, codes=Counter(body_timeout=1)), ""),
        (Expected(is_again=True), Answer(Meaning.STORED, 200, "db", accepted=8, duplicates=8), ""),
        (
            Expected(is_again=True),
            Answer(Meaning.STORED, 200, "db", accepted=8, duplicates=6),
            "200 with 2 stored twice",
        ),
        (Expected(is_again=True), Answer(Meaning.STORED, 200, "spool", accepted=8), ""),
    ],
)
def test_any_other_answer_is_wrong(expected: Expected, answer: Answer, wrong: str) -> None:
    assert judge(expected, answer) == wrong


def test_what_goes_out_again_is_stored_first() -> None:
    given_lane = lane()
    truth = Truth(draw(given_lane), given_lane)
    assert all(truth.expected(0, fault) == Expected() for fault in AGAIN)
