"""A long body is read in parts as a short one is read at once; and what a body costs grows with its bytes."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from gateway.core.errors import BadPayload, TooLarge
from gateway.core.slices import at_once
from gateway.domain.json_text import without_mark
from gateway.domain.layouts import Layouts
from gateway.domain.model import Decoded
from gateway.ingest import wire
from gateway.ingest.wire import careful, long, size, split
from gateway.ingest.wire.limits import Limits
from tests.property.bodies import bodies, dump, hostile, items, mutated, plain_bodies
from tests.unit.ingest.wire.decoded import RECEIVED_US, to_messages

PLENTY = 10**6
LIMITS = Limits(PLENTY, PLENTY)

many = settings(max_examples=300, deadline=None)


@contextmanager
def small_parts() -> Iterator[None]:
    """Parts so small that bodies of a test have many of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(long, "WHOLE", 40)
        patch.setattr(long, "ROWS", 2)
        patch.setattr(split, "PART", 30)
        patch.setattr(long, "PART", 10)
        patch.setattr(careful, "WHOLE", 40)
        patch.setattr(size, "BLOCK", 16)
        patch.setattr(size, "EXACT_BLOCK", 16)
        yield


@pytest.fixture(scope="module", autouse=True)
def _small() -> Iterator[None]:
    with small_parts():
        yield


def check(body: bytes, device: str | None) -> None:
    """In parts a body says what it says at once."""
    with small_parts():
        found = decode(body, device)
    assert say(found) == say(at_a_time(body, device))


def decode(body: bytes, device: str | None, *, limits: Limits = LIMITS) -> tuple[Decoded, Layouts] | type[Exception]:
    layouts = Layouts()
    layouts.declare_ints(("count",))
    try:
        steps = wire.steps(body, None, layouts, limits, device=device, received_us=RECEIVED_US)
        return at_once(steps), layouts
    except (BadPayload, TooLarge) as exc:
        return type(exc)


def at_a_time(body: bytes, device: str | None) -> tuple[Decoded, Layouts] | type[Exception]:
    """What the careful decoder makes of a body that it parses at once."""
    layouts = Layouts()
    layouts.declare_ints(("count",))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(careful, "WHOLE", PLENTY)
        try:
            text = without_mark(body)
            return at_once(careful.decode(text, layouts, LIMITS, device=device, received_us=RECEIVED_US)), layouts
        except (BadPayload, TooLarge) as exc:
            return type(exc)


def say(found: tuple[Decoded, Layouts] | type[Exception]) -> Any:
    if isinstance(found, type):
        return found
    (batch, refusals), layouts = found
    messages = to_messages(batch, layouts)
    places = [
        batch.origins.locate(n, metric) for n, one in enumerate(messages) for metric in (None, *sorted(one.values))
    ]
    return messages, places, refusals


@many
@given(
    body=(plain_bodies() | bodies(items())).map(lambda posted: posted[0]) | mutated() | hostile(),
    device=st.sampled_from([None, "d1"]),
)
@example(body=dump([{"readings": [{"values": {"t": 1}}]}] * 9 + [5] + [{"readings": []}] * 3), device="d1")
@example(body=dump({"readings": [{"ts": n, "values": {"t": n}} for n in range(20)]}), device="d1")
@example(body=dump({"ts": list(range(20)), "values": {"t": list(range(20)), "s": ["a,b"] * 20}}), device="d1")
@example(body=dump({"ts": list(range(20)), "values": {"t": list(range(20)), "count": list(range(20))}}), device="d1")
@example(body=dump([{"values": {"t": 1}}, {"values": {"t": True, "s": "},{"}}] * 20), device="d1")
@example(body=b'[{"values":{"t":1}},{"values":{"t":2},"values":{"t":3}},{"values":{"t":4}}]' + b" " * 20, device="d1")
@example(body=dump([{"values": {"t": 1}}] * 20)[:-1] + b",]", device="d1")
@example(body=dump([{"values": {"t": 1}}] * 20) + b"]", device="d1")
@example(body=dump({"readings": [{"values": {"t": n}} for n in range(9)]})[:-1] + b',"readings":[]}', device="d1")
def test_a_body_in_parts_says_what_it_says_at_once(body: bytes, device: str | None) -> None:
    found, expected = decode(body, device), at_a_time(body, device)
    event("refused" if isinstance(found, type) else "read")
    assert say(found) == say(expected)


@many
@given(
    found=st.recursive(st.text(max_size=9), lambda inner: st.lists(inner, max_size=9), max_leaves=60),
    most=st.integers(0, 40),
)
@example(found=['"', "\\", '\\"', ",,,", '\\\\",'], most=2)
def test_commas_are_counted_where_they_divide_something(found: Any, most: int) -> None:
    body = dump([found])
    commas = count(found)
    try:
        at_once(size.check(body, most))
    except TooLarge:
        assert commas > size.COMMAS * most
    else:
        assert commas <= size.COMMAS * most or len(body) <= size.COMMAS * most


def count(found: Any) -> int:
    """Commas between the elements of a value."""
    return max(0, len(found) - 1) + sum(map(count, found)) if isinstance(found, list) else 0


class Calls:
    """Counts calls of functions, of Python's and of C's: a clock that no other process slows down."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, frame: Any, event: str, arg: Any) -> None:  # noqa: ARG002
        self.count += event in ("call", "c_call")


def calls_of(body: bytes, device: str | None) -> int:
    calls = Calls()
    sys.setprofile(calls)
    try:
        decode(body, device)
    finally:
        sys.setprofile(None)
    return calls.count


CALLS_A_BYTE, CALLS_A_BODY = 40, 2000
"""What a refusal of two bytes, which is said in words, takes; and any body."""


@settings(max_examples=200, deadline=None)
@given(body=hostile() | mutated() | bodies(items()).map(lambda posted: posted[0]), device=st.sampled_from([None, "d1"]))
@example(body=b"[" + b"0," * 2000 + b"0]", device=None)
@example(body=b"[" + b"{}," * 2000 + b"0]", device=None)
@example(body=b'{"a":' * 3000, device=None)
@example(body=dump({"values": {f"k{n}": None for n in range(1000)}}), device="d1")
@example(body=dump({"ts": [1e-300] * 1000, "values": {"t": [1]}}), device="d1")
@example(body=dump({"ts": [1] * 500, "values": {f"k{n}": [1] for n in range(500)}}), device="d1")
def test_what_a_body_costs_grows_with_its_bytes(body: bytes, device: str | None) -> None:
    assert calls_of(body, device) <= CALLS_A_BODY + CALLS_A_BYTE * len(body)
