"""A key that stands twice in one object is refused by its place, however it is spelt; nothing else is."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.domain.layouts import Layouts
from gateway.domain.reasons import Reason
from gateway.ingest import wire
from gateway.ingest.wire import duplicate_keys, fast, plans
from tests.property.bodies import plain_bodies
from tests.unit.ingest.wire.decoded import RECEIVED_US, to_messages

many = settings(max_examples=120, deadline=None)
PADDING = st.sampled_from([0, duplicate_keys.SMALL])
"""Blanks behind a body: small and large ones are counted in different ways."""
DEVICE = "d1"


@pytest.fixture(scope="module", autouse=True)
def blocks() -> Iterator[None]:
    """Count large bodies in many parts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duplicate_keys, "BLOCK", 7)
        yield


class Object(NamedTuple):
    """A JSON object as it is written: all pairs, in order."""

    pairs: list[tuple[str, Any]]


class Found(NamedTuple):
    """What a reader by pairs finds in a body."""

    repeated: set[tuple[int, int | None]]
    """Items, and where an item holds moments their numbers, in which a key stands twice."""
    readings: int
    """Of all others."""


TEXTS = st.sampled_from(['":', '\\":', " :", '{"v": 1, "v": 2}', ":", "12:00", 'a" :', "null"])


@st.composite
def written(draw: st.DrawFn) -> tuple[bytes, int]:
    """A plain body with keys repeated at random places, written in a random way; and the number of repeats."""
    body, _ = draw(plain_bodies())
    document = json.loads(body, object_pairs_hook=Object)
    holders = list(objects(document))
    repeated = 0
    for _ in range(draw(st.integers(0, 2)) if holders else 0):
        holder = draw(st.sampled_from(holders))
        if holder.pairs:
            key, value = draw(st.sampled_from(holder.pairs))
            texts = isinstance(value, str) and key not in {"device", "metric", "ts"}
            holder.pairs.insert(draw(st.integers(0, len(holder.pairs))), (key, draw(TEXTS) if texts else value))
            repeated += 1
    return write(draw, document) + b" " * draw(PADDING), repeated


def objects(document: Any) -> Iterator[Object]:
    if isinstance(document, Object):
        yield document
        for _, value in document.pairs:
            yield from objects(value)
    elif isinstance(document, list):
        for value in document:
            yield from objects(value)


def write(draw: st.DrawFn, document: Any) -> bytes:
    between = st.sampled_from(["", "", " ", "\t", "\n ", "\r\n", "  "])

    def key(text: str) -> str:
        if not text or draw(st.integers(0, 3)):
            return json.dumps(text)
        return f'"\\u{ord(text[0]):04x}{json.dumps(text[1:])[1:]}'

    def said(one: Any) -> str:
        if isinstance(one, Object):
            pairs = [f"{key(name)}{draw(between)}:{draw(between)}{said(value)}" for name, value in one.pairs]
            return "{" + ",".join(pairs) + draw(between) + "}"
        if isinstance(one, list):
            return "[" + ",".join(map(said, one)) + "]"
        return json.dumps(one)

    return said(document).encode()


def look(body: bytes) -> Found:
    """Read the body by pairs, as slowly as one likes."""
    document = json.loads(body, object_pairs_hook=Object)
    repeated: set[tuple[int, int | None]] = set()
    readings = 0
    for index, item in enumerate(document if isinstance(document, list) else [document]):
        held = dict(item.pairs)
        if twice(item) or ("readings" not in held and twice(held.get("values"))):
            repeated.add((index, None))
        elif "readings" in held:
            bad = [sub for sub, one in enumerate(held["readings"]) if twice(one) or twice(dict(one.pairs)["values"])]
            repeated |= {(index, sub) for sub in bad}
            good = [one for sub, one in enumerate(held["readings"]) if sub not in bad]
            readings += sum(len(dict(one.pairs)["values"].pairs) for one in good)
        elif "value" in held:
            readings += 1
        else:
            rows = len(held["ts"]) if isinstance(held.get("ts"), list) else 1
            readings += rows * len(held["values"].pairs)
    return Found(repeated, readings)


def twice(one: Any) -> bool:
    return isinstance(one, Object) and len({key for key, _ in one.pairs}) < len(one.pairs)


def place_of(path: str, index: int, *, single: bool) -> tuple[int, int | None]:
    tokens = path.split("/")[1 if single else 2 :]
    return index, int(tokens[1]) if tokens[0] == "readings" and len(tokens) > 1 else None


BASE = b'{"device": "d1", "values": {"v": 1, %s"w": "x\\":"}}'


@many
@given(posted=written())
@example(posted=(BASE % b'"v": 2, ', 1))
@example(posted=(BASE % b'"\\u0076": 2, ', 1))
@example(posted=(BASE % b'"v" \t: 2, ', 1))
@example(posted=(BASE % b"", 0))
@example(posted=(b'{"values": {"v": 1}, "values" : {"w": 1}}', 1))
@example(posted=(b'{"ts": null, "ts": 5, "values": {"v": 1}}', 1))
@example(posted=(b'{"ts": 5, "ts": null, "values": {"v": 1}}', 1))
@example(posted=(b'{"ts": [1], "values": {"v": [1], "v": [2]}}', 1))
@example(posted=(b'{"ts": [1], "ts": [2], "values": {"v": [1]}}', 1))
@example(posted=(b'[{"metric": "a", "metric": "b", "value": 1}, {"metric": "a", "value": 1, "value": "2"}]', 2))
@example(posted=(b'{"readings": [{"values": {"v": 1, "v": 2}}, {"values": {"v": 3}}]}', 1))
@example(posted=(b'{"readings": [{"values": {"v": 1}}], "readings": [{"values": {"v": 3}}]}', 1))
@example(posted=(b'{"readings": [{"ts": 1, "ts": 2, "values": {"v": 1}}, {"ts": 1, "values": {"v": true}}]}', 1))
def test_repeated_keys_are_refused_where_they_stand_and_nothing_else_is(posted: tuple[bytes, int]) -> None:
    body, repeated = posted
    layouts = Layouts()
    decoded = wire.decode(body, None, layouts, device=None, received_us=RECEIVED_US, max_readings=10**6)
    if any(refusal.code == Reason.MISSING_DEVICE for refusal in decoded.refusals):
        decoded = wire.decode(body, None, layouts, device=DEVICE, received_us=RECEIVED_US, max_readings=10**6)
    single = not body.lstrip().startswith(b"[")
    found = look(body)
    refused = [one for one in decoded.refusals if one.code == Reason.DUPLICATE_KEY]
    assert {place_of(one.path, one.index, single=single) for one in refused} == found.repeated
    assert len(refused) == len(found.repeated)
    assert bool(found.repeated) == bool(repeated)
    others = sum(one.readings for one in decoded.refusals if one.code != Reason.DUPLICATE_KEY)
    assert decoded.batch.readings + others == found.readings


@many
@given(posted=written(), device=st.sampled_from([None, DEVICE]))
@example(posted=(BASE % b"", 0), device=None)
@example(posted=(b'{"ts": null, "device": null, "values": {"v" : 1}}' + b" " * duplicate_keys.SMALL, 0), device="d1")
@example(posted=(b'{"ts": "2024-11-22T12:03:20+01:00", "values": {":x\\":": "\\n:"}}', 0), device="d1")
def test_a_body_without_repeats_is_read_whole_if_it_is_in_its_plainest_spelling(
    posted: tuple[bytes, int], device: str | None
) -> None:
    body, repeated = posted
    layouts = Layouts()
    batch = fast.decode(body, layouts, device=device, received_us=RECEIVED_US)
    if repeated:
        assert batch is None
        return
    plain = json.dumps(json.loads(body), separators=(",", ":")).encode().ljust(len(body))
    same = fast.decode(plain, layouts, device=device, received_us=RECEIVED_US)
    if plans.guess(body) == plans.guess(plain):  # else keys are escaped: what shape it has is seen item by item
        assert (batch is None) == (same is None)
    if batch is not None and same is not None:
        assert to_messages(batch, layouts) == to_messages(same, layouts)
