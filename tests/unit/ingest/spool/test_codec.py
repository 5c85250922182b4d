"""Records of the spool: any batch survives, any damage is noticed, any bytes are a batch or said to be damaged."""

import zlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain import layouts as layouts_module
from gateway.domain.layouts import Layouts
from gateway.domain.model import Batch, Metric, Value
from gateway.ingest.spool.codec import DamagedRecord, decode, encode
from tests.builders.batches import NOON, Message, batch

NAMES = st.from_regex(r"[A-Za-z0-9._:/\-]{1,12}", fullmatch=True)
VALUES: st.SearchStrategy[Value] = (
    st.floats(allow_nan=False, allow_infinity=False)
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
)
MESSAGES = st.tuples(
    st.from_regex(r"[A-Za-z0-9._:\-]{1,12}", fullmatch=True),
    st.integers(-NOON, 2**62),
    st.dictionaries(NAMES | st.sampled_from("abc"), VALUES, min_size=1, max_size=5),
)
BATCHES = st.lists(MESSAGES, max_size=8)


def listed(one: Batch) -> list[tuple[str, int, dict[Metric, tuple[type, Value]]]]:
    """Messages with their values by name and kind; floats and ints kept apart."""
    return [
        (
            one.devices[i],
            one.times[i],
            {metric: (type(v), v) for metric, v in zip(one.table[one.layouts[i]].posted, row, strict=True)},
        )
        for i, row in enumerate(one.rows())
    ]


def seal(rest: bytes, version: int = 1) -> bytes:
    crc = zlib.crc32(rest, zlib.crc32(bytes([version])))
    return bytes([version]) + crc.to_bytes(4, "little") + rest


def is_batch_or_damaged(record: bytes) -> None:
    try:
        one = decode(record, Layouts())
    except DamagedRecord:
        return
    assert sum(len(row) for row in one.rows()) == one.readings
    assert len(one) == len(one.times) == len(one.layouts)


@given(BATCHES, BATCHES)
def test_any_batch_survives(messages: list[Message], others: list[Message]) -> None:
    here, there = Layouts(), Layouts()
    batch(there, *others)
    original = batch(here, *messages)
    record = encode(original)
    assert (record.messages, record.readings) == (len(original), original.readings)
    for layouts in (here, there):
        again = decode(record.content, layouts)
        assert listed(again) == listed(original)
        assert again.readings == original.readings
        assert again.table is layouts.table


@given(BATCHES, st.data())
def test_any_damaged_byte_is_noticed(messages: list[Message], data: st.DataObject) -> None:
    layouts = Layouts()
    record = bytearray(encode(batch(layouts, *messages)).content)
    record[data.draw(st.integers(0, len(record) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(DamagedRecord):
        decode(bytes(record), layouts)


@given(BATCHES, st.data())
def test_a_torn_record_is_noticed(messages: list[Message], data: st.DataObject) -> None:
    layouts = Layouts()
    record = encode(batch(layouts, *messages)).content
    with pytest.raises(DamagedRecord):
        decode(record[: data.draw(st.integers(0, len(record) - 1))], layouts)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_batch_or_damaged(content: bytes) -> None:
    is_batch_or_damaged(content)
    is_batch_or_damaged(seal(content))


RAW = st.lists(st.integers(0, 3), max_size=4).map(lambda ns: b"".join(n.to_bytes(4, "little") for n in ns)) | st.binary(
    max_size=24
)
METRICS = st.tuples(st.sampled_from(["a", "b", "", "a b"]), st.sampled_from(["double", "bool", "int", "text", "odd"]))


@given(
    st.tuples(
        st.lists(st.lists(METRICS, max_size=3), max_size=3),
        st.lists(st.sampled_from(["d1", "d2"]), max_size=3),
        RAW,
        RAW,
        RAW,
        RAW,
        RAW,
        st.lists(st.text(max_size=3), max_size=3),
    )
)
def test_any_columns_under_a_good_checksum_are_a_batch_or_damaged(body: tuple[Any, ...]) -> None:
    is_batch_or_damaged(seal(msgspec.msgpack.encode(body)))


@pytest.mark.parametrize(
    ("rest", "why"),
    [
        ([[], ["d"], b"", b"", b"\0" * 8, b"", b"", []], "fit together"),
        ([[[["a", "double"]]], ["d"], b"\0" * 4, b"\0" * 4, b"\0" * 8, b"", b"", []], "fit together"),
        ([[[["a", "double"]]], ["d"], b"\1\0\0\0", b"\0" * 4, b"\0" * 8, b"\0" * 8, b"", []], "refers to"),
        ([[[["a", "double"]]], ["d"], b"\0" * 4, b"\1\0\0\0", b"\0" * 8, b"\0" * 8, b"", []], "refers to"),
        ([[[["a", "double"]]], ["d"], b"\0" * 4, b"\0" * 4, b"\0" * 7, b"\0" * 8, b"", []], "middle of a number"),
        ([[[["a b", "double"]]], [], b"", b"", b"", b"", b"", []], "cannot be"),
        ([[[["a", "double"], ["a", "double"]]], [], b"", b"", b"", b"", b"", []], "cannot be"),
        ([[[["a", "odd"]]], [], b"", b"", b"", b"", b"", []], "parsed"),
        ([], "parsed"),
    ],
)
def test_damage_is_explained(rest: list[Any], why: str) -> None:
    with pytest.raises(DamagedRecord, match=why):
        decode(seal(msgspec.msgpack.encode(rest)), Layouts())


def test_a_record_of_another_version_is_not_guessed_at() -> None:
    layouts = Layouts()
    record = encode(batch(layouts, ("d", 0, {"a": 0.5}))).content
    with pytest.raises(DamagedRecord, match="version 1"):
        decode(seal(record[5:], version=2), layouts)


def test_version_1_is_read_for_ever() -> None:
    record = bytes.fromhex(
        "01d639e66798929292a174a6646f75626c6592a26f6ea4626f6f6c9292a16ea3696e7492a173a47465787492a26431a26432"
        "c40c000000000100000000000000c40c000000000100000000000000c41800401e18240a060001401e18240a060002401e18"
        "240a0600c4200000000000803540000000000000f03f000000000000d0bf0000000000000000c408f9ffffffffffffff91a2"
        "c3a9"
    )
    assert listed(decode(record, Layouts())) == [
        ("d1", NOON, {("t", "double"): (float, 21.5), ("on", "bool"): (float, 1.0)}),
        ("d2", NOON + 1, {("n", "int"): (int, -7), ("s", "text"): (str, "é")}),
        ("d1", NOON + 2, {("t", "double"): (float, -0.25), ("on", "bool"): (float, 0.0)}),
    ]


@pytest.mark.parametrize("bound", ["MAX_ORDERS", "MAX_LAYOUTS", "MAX_WIDTH"])
def test_a_record_that_finds_no_room_brings_its_own_layouts(bound: str, monkeypatch: pytest.MonkeyPatch) -> None:
    posted: Message = ("d", 0, {"b": 1.5, "a": True, "n": 7, "z": "one", "y": "two"})
    original = batch(Layouts(), posted, ("d", 1, {"other": 0.5}))
    full = Layouts()
    batch(full, ("d", 0, {"y": "", "z": "", "n": 0, "a": True, "b": 0.5}))
    monkeypatch.setattr(layouts_module, bound, {"MAX_ORDERS": 1, "MAX_LAYOUTS": 2, "MAX_WIDTH": 10}[bound])
    monkeypatch.setattr(full, "make_room", lambda: None)
    again = decode(encode(original).content, full)
    assert listed(again) == listed(original)
    assert again.table is not full.table


def test_reading_an_old_spool_makes_room_for_its_layouts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layouts_module, "MAX_LAYOUTS", 8)
    layouts = Layouts()
    originals = [batch(Layouts(), ("d", i, {f"m{i}": i + 0.5})) for i in range(50)]
    again = [decode(encode(each).content, layouts) for each in originals]
    assert [listed(each) for each in again] == [listed(each) for each in originals]


def test_what_is_replayed_is_found_by_its_place() -> None:
    layouts = Layouts()
    again = decode(encode(batch(layouts, ("d", 0, {"a": 0.5}), ("d", 1, {"a": 0.5}))).content, layouts)
    assert again.origins.locate(1, None) == (1, "/1")
