"""Hypothesis strategies: posted bodies of every shape, plain and broken, with the number of readings they hold."""

import json
from datetime import timedelta, timezone
from typing import Any, NamedTuple

from hypothesis import strategies as st


class Item(NamedTuple):
    """A posted item and the readings it holds, counted as it is made."""

    content: Any
    readings: int


ZONES = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
MOMENTS = st.datetimes(timezones=ZONES).map(lambda moment: moment.isoformat())
GOOD_STAMPS = (
    st.none()
    | st.integers(0, 10**19)
    | st.floats(0, 4e18, allow_nan=False)
    | st.sampled_from(["2024-11-22T12:03:20Z", "2024-11-22t12:03:20.123456789+05:30", "2024-02-29 00:00:00-00:00"])
)
STAMPS = GOOD_STAMPS | MOMENTS | st.sampled_from(["", "now", "2024-11-22", "2024-W47-5T00:00:00Z", -1, 1e300, True])

GOOD_NAMES = st.sampled_from(["t", "h", "on", "count", "a/b", "m" * 128]) | st.from_regex(
    r"[A-Za-z._:/-]", fullmatch=True
)
NAMES = GOOD_NAMES | st.sampled_from(["", "a b", "a~b/c d", "t\n", "\ud800", "größe", "m" * 129]) | st.text(max_size=3)

INTEGERS = st.integers(-(2**54), 2**54) | st.sampled_from(
    [2**53, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), 2**64, 10**400]
)
GOOD_VALUES = (
    st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
)
BAD_VALUES: st.SearchStrategy[Any] = st.sampled_from(
    [None, [], [1], {}, float("nan"), float("inf"), "\0", "\ud800", "x" * 4097, "é" * 2049]
)
VALUES = GOOD_VALUES | INTEGERS | BAD_VALUES

FIRST_DEVICES = st.sampled_from(["d1", "d2", "a:b-c"])


def dump(content: Any) -> bytes:
    """JSON with escapes for all that is not ASCII, lone surrogates too; NaN and Infinity as Python writes them."""
    return json.dumps(content).encode()


def plain_bodies() -> st.SearchStrategy[tuple[bytes, int]]:
    """Bodies of one shape that hold nothing but good readings, except that some integers may be too large."""
    numbers = st.integers(-(2**53), 2**53) | st.floats(-1e15, 1e15)
    kinds = (numbers, GOOD_VALUES, INTEGERS)
    shapes = [one for values in kinds for one in _shapes(FIRST_DEVICES, GOOD_STAMPS, GOOD_NAMES, values)]
    return st.one_of([bodies(one) for one in shapes])


def items() -> st.SearchStrategy[Item]:
    """Items in which anything may be wrong but the number of readings can be told."""
    devices = FIRST_DEVICES | st.sampled_from([None, 7, "", "a b", "\ud800", ["d1"]])
    return st.one_of(_shapes(devices, STAMPS, NAMES, VALUES))


def bodies(one: st.SearchStrategy[Item]) -> st.SearchStrategy[tuple[bytes, int]]:
    """One item, or an array of them: (the body, its readings)."""
    alone = one.map(lambda item: (dump(item.content), item.readings))
    return alone | st.lists(one, max_size=6).map(
        lambda many: (dump([item.content for item in many]), sum(item.readings for item in many))
    )


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Bodies with slices cut out, moved, doubled or replaced: broken JSON, repeated keys, odd numbers."""
    body, _ = draw(bodies(items()))
    for _ in range(draw(st.integers(1, 3))):
        start, stop, at = sorted(draw(st.lists(st.integers(0, len(body)), min_size=3, max_size=3)))
        junk = draw(
            st.sampled_from([body[start:stop], b"", b'"values": {"t": 1}, ', b"-", b"0", b"1e999", b"\xef\xbb\xbf"])
        )
        body = draw(st.sampled_from([body[:at] + junk + body[at:], body[:start] + body[stop:], body[:start] + junk]))
    return body


def hostile() -> st.SearchStrategy[bytes]:
    """Bytes of every kind: random ones, any JSON, broken bodies, deep nesting."""
    leaves = VALUES | STAMPS | INTEGERS
    keys = st.sampled_from(["device", "ts", "metric", "value", "values", "readings"]) | NAMES
    anything = st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4)
    )
    deep = st.builds(
        lambda mark, depth: mark * depth, st.sampled_from([b"[", b'{"a":', b'{"values":']), st.integers(1, 3000)
    )
    return st.binary(max_size=40) | anything.map(dump) | mutated() | deep


def _shapes(
    devices: st.SearchStrategy[Any],
    stamps: st.SearchStrategy[Any],
    names: st.SearchStrategy[str],
    values: st.SearchStrategy[Any],
) -> list[st.SearchStrategy[Item]]:
    """Items of each of the four shapes."""
    sets = st.dictionaries(names, values, min_size=1, max_size=4)
    contents = [
        _flats(stamps, names, values),
        _moments(stamps, sets),
        st.lists(_moments(stamps, sets), min_size=1, max_size=3).map(_readings),
        _columns(stamps, names, values),
    ]
    return [st.builds(_with_device, devices, content) for content in contents]


def _flats(
    stamps: st.SearchStrategy[Any], names: st.SearchStrategy[str], values: st.SearchStrategy[Any]
) -> st.SearchStrategy[Item]:
    return st.builds(lambda ts, name, value: Item({"ts": ts, "metric": name, "value": value}, 1), stamps, names, values)


def _moments(stamps: st.SearchStrategy[Any], sets: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[Item]:
    return st.builds(lambda ts, values: Item({"ts": ts, "values": values}, len(values)), stamps, sets)


def _readings(moments: list[Item]) -> Item:
    return Item({"readings": [moment.content for moment in moments]}, sum(moment.readings for moment in moments))


@st.composite
def _columns(
    draw: st.DrawFn,
    stamps: st.SearchStrategy[Any],
    names: st.SearchStrategy[str],
    values: st.SearchStrategy[Any],
) -> Item:
    rows = draw(st.lists(stamps, min_size=1, max_size=3))
    column = st.lists(values, min_size=len(rows), max_size=len(rows))
    columns = draw(st.dictionaries(names, column, min_size=1, max_size=3))
    return Item({"ts": rows, "values": columns}, len(rows) * len(columns))


def _with_device(device: Any, item: Item) -> Item:
    return Item(item.content | {"device": device}, item.readings)
