"""Codec of the spool: a batch ↔ the bytes of a record, in any process. Pure; never reads part of a damaged record.

    byte 0      version of what follows, now 1
    bytes 1–4   CRC-32 (that of zlib, little-endian) of the version byte and the rest
    the rest    MessagePack array: layouts, names, and the columns of the batch; numbers raw, little-endian

Names stand for themselves, so a record means the same to any gateway. The structure is checked in full; the contents
were checked by the intake, and the CRC says that they are still the same.
"""

import sys
import zlib
from array import array
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import msgspec

from gateway.domain.layouts import Layouts
from gateway.domain.model import Batch, Metric

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


class ReplayedOrigins:
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


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Body).decode


def encode(batch: Batch) -> Record:
    """Return the record of a batch."""
    numbers = {number: i for i, number in enumerate(dict.fromkeys(batch.layouts))}
    names = {name: i for i, name in enumerate(dict.fromkeys(batch.devices))}
    rest = _encode(
        _Body(
            [batch.table[number].posted for number in numbers],
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
    """Return the batch, with layouts of this process, or of its own where there is no room for them.

    Raises DamagedRecord.
    """
    body = _parse(record)
    layouts.make_room()
    batch, numbers = _begin(body.layouts, layouts) or _begin(body.layouts, Layouts()) or (None, [])
    if batch is None:
        raise DamagedRecord("it holds a layout that cannot be")
    try:
        batch.devices = list(map(body.names.__getitem__, _from_raw(array("I"), body.devices)))
        batch.layouts = array("i", map(numbers.__getitem__, _from_raw(array("I"), body.which)))
    except IndexError:
        raise DamagedRecord("it refers to a name or layout it does not hold") from None
    batch.times = _from_raw(array("q"), body.times)
    batch.doubles = _from_raw(array("d"), body.doubles)
    batch.ints = _from_raw(array("q"), body.ints)
    batch.texts = body.texts
    batch.readings = _count_readings(batch)
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


def _begin(posted: Sequence[tuple[Metric, ...]], layouts: Layouts) -> tuple[Batch, list[int]] | None:
    """Return an empty batch and the numbers of its layouts, if all of them can be defined."""
    numbers = [number for metrics in posted if (number := layouts.define(metrics)) is not None]
    return (Batch(ReplayedOrigins(), layouts.table), numbers) if len(numbers) == len(posted) else None


def _count_readings(batch: Batch) -> int:
    """Return the readings of a batch, after finding that every message has its values."""
    doubles = ints = texts = 0
    for number, messages in Counter(batch.layouts).items():
        layout = batch.table[number]
        doubles += messages * len(layout.doubles)
        ints += messages * len(layout.ints)
        texts += messages * len(layout.texts)
    expected = (len(batch), len(batch), doubles, ints, texts)
    if expected != (len(batch.times), len(batch.layouts), len(batch.doubles), len(batch.ints), len(batch.texts)):
        raise DamagedRecord("its columns do not fit together")
    return doubles + ints + texts


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
