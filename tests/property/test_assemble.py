"""Any group of batches → the bytes that COPY is sent, read again by a decoder that knows only PostgreSQL's manual."""

import struct
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.layouts import Layouts
from gateway.domain.model import Block, Kind, Metric, Shape, Value
from gateway.timescale.write import copy_format
from gateway.timescale.write.assemble import CONFLICT, DUPLICATE, STORED, Group, Sorted, newest
from tests.builders.batches import KINDS, NOON, Message, batch

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6)
VALUES: list[st.SearchStrategy[Value]] = [
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    TEXT,
]
NAMES = st.sampled_from(["a", "b", "c", "d"])
FEW: list[st.SearchStrategy[Value]] = [st.sampled_from([0.5, 1.5]), st.booleans(), st.integers(0, 1), st.just("x")]


def messages(kinds: Sequence[st.SearchStrategy[Value]]) -> st.SearchStrategy[Message]:
    values = st.dictionaries(NAMES, st.one_of(*kinds), min_size=1, max_size=4)
    return st.tuples(st.sampled_from(["d1", "d2", "d3"]), st.integers(-2, 2), values)


GROUPS = st.lists(st.lists(messages(VALUES), max_size=8), min_size=1, max_size=4)
REPEATING = st.lists(st.lists(messages(FEW), max_size=12), min_size=1, max_size=3)


class Row(NamedTuple):
    """A row as PostgreSQL would store it."""

    time_us: int
    device: int
    shape: int
    doubles: tuple[float, ...]
    ints: tuple[int, ...]
    texts: tuple[str, ...]


class Assembled(NamedTuple):
    line: Group
    parts: list[Sorted]
    rows: list[Row]
    """What the messages are, in the order of the group."""


DEVICES = {"d1": 30, "d2": 2, "d3": 2**31 - 1}


def assemble(group: list[list[Message]], *, last_wins: bool = False) -> Assembled:
    layouts = Layouts()
    batches = [batch(layouts, *part) for part in group]
    line = Group(batches)
    numbers: dict[Shape, int] = {}
    shapes = [numbers.setdefault(layout.shape, 10**6 - len(numbers)) for layout in line.layouts]
    ids = np.array([DEVICES[name] for name in line.names], np.int32)
    parts = line.blocks(ids, shapes, last_wins=last_wins)
    return Assembled(line, parts, [_row(message, numbers) for part in group for message in part])


def _row(message: Message, shapes: dict[Shape, int]) -> Row:
    device, after, values = message
    columns = [
        sorted(
            (Metric(name, KINDS[type(value)]), value) for name, value in values.items() if KINDS[type(value)] in kinds
        )
        for kinds in ((Kind.DOUBLE, Kind.BOOL), (Kind.INT,), (Kind.TEXT,))
    ]
    shape = Shape(*(tuple(metric for metric, _ in column) for column in columns))
    doubles, ints, texts = (tuple(value for _, value in column) for column in columns)
    return Row(
        NOON + after,
        DEVICES[device],
        shapes[shape],
        tuple(map(float, doubles)),
        tuple(map(int, ints)),
        tuple(map(str, texts)),
    )


def decode(stream: bytes) -> Iterator[list[bytes | None]]:
    """The fields of each row; see "COPY", Binary Format, in PostgreSQL's manual."""
    assert stream[:19] == b"PGCOPY\n\xff\r\n\0" + bytes(8)
    at = 19
    while (fields := struct.unpack_from(">h", stream, at)[0]) >= 0:
        at += 2
        row: list[bytes | None] = []
        for _ in range(fields):
            (length,) = struct.unpack_from(">i", stream, at)
            at += 4
            row.append(None if length < 0 else stream[at : at + length])
            at += max(length, 0)
        yield row
    assert fields == -1
    assert at + 2 == len(stream)


def _array(field: bytes | None, element: int) -> Iterator[bytes]:
    if field is None:
        return
    dimensions, nulls, kind, size, lower = struct.unpack_from(">5i", field)
    assert (dimensions, nulls, kind, lower) == (1, 0, element, 1)
    at = 20
    for _ in range(size):
        (length,) = struct.unpack_from(">i", field, at)
        yield field[at + 4 : at + 4 + length]
        at += 4 + length
    assert at == len(field)


def _number(form: str, field: bytes | None) -> int:
    assert field is not None
    number: int = struct.unpack(form, field)[0]
    return number


def to_row(fields: Sequence[bytes | None]) -> Row:
    time, device, shape, doubles, ints, texts = fields
    return Row(
        _number(">q", time) + 946_684_800_000_000,
        _number(">i", device),
        _number(">i", shape),
        tuple(struct.unpack(">d", item)[0] for item in _array(doubles, 701)),
        tuple(struct.unpack(">q", item)[0] for item in _array(ints, 20)),
        tuple(item.decode() for item in _array(texts, 25)),
    )


@given(GROUPS)
@settings(max_examples=200, deadline=None)
def test_the_bytes_hold_each_first_message_and_nothing_else(group: list[list[Message]]) -> None:
    line, parts, rows = assemble(group)
    blocks = [part.block for part in parts]
    sent = [to_row(fields) for fields in decode(copy_format.encode(blocks))]
    first = {(row.device, row.shape, row.time_us): row for row in reversed(rows)}
    assert sorted(map(repr, sent)) == sorted(map(repr, first.values()))
    assert [repr(rows[i]) for part in parts for i in part.messages] == list(map(repr, sent))
    assert all(line.verdicts[part.messages].max(initial=STORED) == STORED for part in parts)


@given(GROUPS)
@settings(max_examples=50, deadline=None)
def test_staged_rows_are_numbered_through(group: list[list[Message]]) -> None:
    _, parts, _ = assemble(group)
    blocks = [part.block for part in parts]
    plain = list(decode(copy_format.encode(blocks)))
    staged = list(decode(copy_format.encode(blocks, numbered=True)))
    assert [_number(">i", fields[0]) for fields in staged] == list(range(len(plain)))
    assert [fields[1:] for fields in staged] == plain


@given(GROUPS)
@settings(max_examples=100, deadline=None)
def test_blocks_are_sorted_and_no_key_stands_twice(group: list[list[Message]]) -> None:
    _, parts, _ = assemble(group)
    for part in parts:
        block = part.block
        keys = list(zip(block.devices.tolist(), block.shapes.tolist(), block.times.tolist(), strict=True))
        assert all(a < b for a, b in pairwise(keys))
        assert [DEVICES[name] for name in block.names] == block.devices.tolist()
    widths = [_width(part.block) for part in parts]
    assert len(widths) == len(set(widths))


def _width(block: Block) -> tuple[int, int, int]:
    return block.doubles.shape[1], block.ints.shape[1], len(block.texts[0]) if block.texts else 0


@given(REPEATING, st.booleans())
@settings(max_examples=200, deadline=None)
def test_repeats_get_the_verdict_a_person_would_give(group: list[list[Message]], last_wins: bool) -> None:
    line, parts, rows = assemble(group, last_wins=last_wins)
    leaders: dict[tuple[int, int, int], int] = {}
    order = list(enumerate(rows))
    for i, row in reversed(order) if last_wins else order:
        leaders.setdefault((row.device, row.shape, row.time_us), i)
    for i, row in order:
        leader = leaders[row.device, row.shape, row.time_us]
        differs = DUPLICATE if last_wins else CONFLICT
        expected = STORED if i == leader else DUPLICATE if rows[leader] == row else differs
        assert line.verdicts[i] == expected, (i, row)
    assert sorted(int(i) for part in parts for i in part.messages) == sorted(leaders.values())


@given(REPEATING, st.booleans())
@settings(max_examples=100, deadline=None)
def test_outcomes_add_up_to_the_readings_of_each_batch(group: list[list[Message]], last_wins: bool) -> None:
    line, _, _ = assemble(group, last_wins=last_wins)
    for part, outcome in zip(group, line.outcomes(), strict=True):
        refused = sum(len(part[i][2]) for i in outcome.conflicts)
        assert outcome.stored + refused == sum(len(values) for _, _, values in part)
        assert 0 <= outcome.duplicates <= outcome.stored


@given(GROUPS)
@settings(max_examples=100, deadline=None)
def test_the_newest_is_the_last_of_each_device_and_shape(group: list[list[Message]]) -> None:
    _, parts, rows = assemble(group)
    expected: dict[tuple[int, int], int] = {}
    for row in rows:
        expected[row.device, row.shape] = max(row.time_us, expected.get((row.device, row.shape), row.time_us))
    found = [
        ((device, shape), time)
        for block in newest([part.block for part in parts])
        for device, shape, time in zip(block.devices.tolist(), block.shapes.tolist(), block.times.tolist(), strict=True)
    ]
    assert sorted(found) == sorted(expected.items())


@given(st.lists(messages(VALUES), max_size=20))
@settings(max_examples=50, deadline=None)
def test_a_batch_gives_back_the_rows_it_was_given(given_messages: list[Message]) -> None:
    layouts = Layouts()
    made = batch(layouts, *given_messages)
    assert [list(map(repr, row)) for row in made.rows()] == [
        [repr(float(value)) if isinstance(value, bool) else repr(value) for value in values.values()]
        for _, _, values in given_messages
    ]
    assert made.readings == sum(len(values) for _, _, values in given_messages)
    assert made.size >= 8 * made.readings
