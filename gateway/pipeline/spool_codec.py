"""A batch → the bytes of a record → the batch again, in any process. Pure; never reads part of a damaged record.

    byte 0      version of what follows, now 1
    bytes 1–4   CRC-32 (that of zlib, little-endian) of the version byte and the rest
    the rest    MessagePack array: layouts, names, and the columns of the batch; numbers raw, little-endian

Names stand for themselves, so a record means the same to any gateway. The structure is checked in full; the contents
were checked at the door, and the CRC says that they are still the same.
"""

import sys
import zlib
from array import array
from collections import Counter
from collections.abc import Mapping
from itertools import accumulate
from typing import NamedTuple, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from gateway.contracts import LayoutTable
from gateway.errors import SpoolFault
from gateway.layouts import METRIC_NAME, Layouts
from gateway.model import Batch, Layout, Metric

VERSION = 1
HEAD = 5
"""Bytes before the MessagePack."""

T = TypeVar("T", int, float)


class DamagedRecord(Exception):
    """These bytes are no record; the message says what is wrong with them."""


class Record(NamedTuple):
    """A batch as bytes, with its counts."""

    content: bytes
    messages: int
    readings: int


class Replayed:
    """`model.Origins` of a batch that was acknowledged long ago."""

    def locate(self, message: int, metric: str | None) -> tuple[int, str]:  # noqa: ARG002 - nobody is told of values
        """Return the message's place in the batch."""
        return message, f"/{message}"


class _Body(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    layouts: list[tuple[Metric, ...]]
    """Metrics in posted order; messages refer to them by position."""
    names: list[str]
    """Devices, each once."""
    devices: bytes
    """uint32 each: position in `names`; likewise `which` in `layouts`."""
    which: bytes
    times: bytes
    doubles: bytes
    ints: bytes
    texts: list[str]


class _Placed(NamedTuple):
    """A layout of a record as this process knows it."""

    layout: Layout
    posted: tuple[Metric, ...]
    """The order of the record's values, if it is not the layout's own; else empty."""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Body).decode


def encode(batch: Batch, layouts: LayoutTable) -> Record:
    """Return the record of a batch."""
    numbers = {number: i for i, number in enumerate(dict.fromkeys(batch.layouts))}
    names = {name: i for i, name in enumerate(dict.fromkeys(batch.devices))}
    rest = _encode(
        _Body(
            [layouts.table[number].posted for number in numbers],
            list(names),
            _to_raw(array("I", map(names.__getitem__, batch.devices))),
            _to_raw(array("I", map(numbers.__getitem__, batch.layouts))),
            _to_raw(batch.times),
            _to_raw(batch.doubles),
            _to_raw(batch.ints),
            batch.texts,
        )
    )
    version = bytes([VERSION])
    crc = zlib.crc32(rest, zlib.crc32(version))
    return Record(b"".join((version, crc.to_bytes(4, "little"), rest)), len(batch), batch.readings)


def decode(record: bytes, layouts: Layouts) -> Batch:
    """Return the batch, after defining the layouts that are new here.

    A layout whose order of metrics is one too many here comes back with its metrics sorted. Raises DamagedRecord, and
    SpoolFault when this process can learn no further layout: the record is good, a restart reads it.
    """
    body = _parse(record)
    placed = [_place(posted, layouts) for posted in body.layouts]
    which = _from_raw(array("I"), body.which)
    batch = Batch(Replayed())
    try:
        batch.devices = list(map(body.names.__getitem__, _from_raw(array("I"), body.devices)))
        batch.layouts = array("i", [placed[i].layout.number for i in which])
    except IndexError:
        raise DamagedRecord("it refers to a name or layout it does not hold") from None
    batch.times = _from_raw(array("q"), body.times)
    batch.doubles = _from_raw(array("d"), body.doubles)
    batch.ints = _from_raw(array("q"), body.ints)
    batch.texts = body.texts
    batch.readings = _check_lengths(batch, Counter(batch.layouts), layouts)
    if any(each.posted for each in placed):
        _reorder(batch, placed, which)
    return batch


def _parse(record: bytes) -> _Body:
    if len(record) < HEAD or record[0] != VERSION:
        raise DamagedRecord(f"it does not begin like a record of version {VERSION}")
    if zlib.crc32(memoryview(record)[HEAD:], zlib.crc32(record[:1])) != int.from_bytes(record[1:HEAD], "little"):
        raise DamagedRecord("its checksum does not match")
    try:
        return _decode(memoryview(record)[HEAD:])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise DamagedRecord(f"it cannot be parsed: {exc}") from exc


def _place(posted: tuple[Metric, ...], layouts: Layouts) -> _Placed:
    number = layouts.define(posted)
    if number is not None:
        return _Placed(layouts.table[number], ())
    if not posted or len(set(posted)) < len(posted) or not all(METRIC_NAME.fullmatch(m.name) for m in posted):
        raise DamagedRecord("it holds a layout that cannot be")
    number = layouts.define(tuple(sorted(posted)))
    if number is None:
        raise SpoolFault("this gateway knows too many layouts to read the spool; restart it, nothing is lost")
    return _Placed(layouts.table[number], posted)


def _check_lengths(batch: Batch, counts: Mapping[int, int], layouts: LayoutTable) -> int:
    """Return the readings of a batch, after finding that every message has its values."""
    doubles = ints = texts = 0
    for number, messages in counts.items():
        layout = layouts.table[number]
        doubles += messages * len(layout.doubles)
        ints += messages * len(layout.ints)
        texts += messages * len(layout.texts)
    expected = (len(batch), len(batch), doubles, ints, texts)
    if expected != (len(batch.times), len(batch.layouts), len(batch.doubles), len(batch.ints), len(batch.texts)):
        raise DamagedRecord("its columns do not fit together")
    return doubles + ints + texts


def _reorder(batch: Batch, placed: list[_Placed], which: "array[int]") -> None:
    """Bring the values of messages whose layout came back sorted into its order. Rare, hence not the fast path."""
    own = [each.posted or each.layout.posted for each in placed]
    doubles, ints, texts = (
        _sources([_turn(each, posted, column) for each, posted in zip(placed, own, strict=True)], which)
        for column in range(3)
    )
    batch.doubles = array("d", np.asarray(batch.doubles)[doubles].tobytes())
    batch.ints = array("q", np.asarray(batch.ints)[ints].tobytes())
    batch.texts = [batch.texts[i] for i in texts.tolist()]


def _turn(placed: _Placed, posted: tuple[Metric, ...], column: int) -> list[int]:
    """Return where each value of the layout's column lies among the record's values of that column."""
    layout = placed.layout
    wanted = [layout.posted[i] for i in (layout.doubles, layout.ints, layout.texts)[column]]
    place = {metric: i for i, metric in enumerate(metric for metric in posted if metric in wanted)}
    return [place[metric] for metric in wanted]


def _sources(turns: list[list[int]], which: "array[int]") -> NDArray[np.intp]:
    """Return for each value of a column, message by message, where it comes from."""
    starts = accumulate((len(turns[i]) for i in which), initial=0)
    return np.array([start + i for start, n in zip(starts, which, strict=False) for i in turns[n]], np.intp)


def _to_raw(column: "array[T]") -> bytes:
    return _swapped(column).tobytes()


def _from_raw(column: "array[T]", raw: bytes) -> "array[T]":
    try:
        column.frombytes(raw)
    except ValueError as exc:
        raise DamagedRecord("a column ends in the middle of a number") from exc
    return _swapped(column)


def _swapped(column: "array[T]") -> "array[T]":
    """Return the column in the other byte order, where this machine's is not the file's."""
    if sys.byteorder == "little":
        return column
    column = column[:]
    column.byteswap()
    return column
