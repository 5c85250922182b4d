"""Codec of the state: blocks ↔ the bytes in Redis. Pure.

A device is one hash; a field is a shape id (u32); its value is the newest message of that shape, big-endian: f8 time in
microseconds, u16 doubles, u16 ints, u16 texts, then f8 each, i8 each, and for each text u32 length and UTF-8; then one
byte if it may be published again as stored. One more field is the mark: how many messages there are, in decimal, if
these are all; else who claims to fill the device.
"""

import struct
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.core.timestamps import MAX_US
from gateway.domain.contracts.newest import NewestMessage
from gateway.domain.model import Block

HEAD = struct.Struct(">dHHH")
FIELD = struct.Struct(">I")
MARK = b"w"
UNSTORED = b"\0"
"""Ends a message whose publication as stored may still come: it was filled in from the database before, or is only in a
spool yet. That publication is no repeat of this one then, and is logged as a change."""


class NotOursError(ValueError):
    """The bytes can be read, and say what no gateway writes."""


NOT_OURS = (struct.error, UnicodeDecodeError, NotOursError)
"""What unpacking raises for bytes that somebody else wrote."""


def to_blob(block: Block) -> bytes:
    """Return the messages of a block as newest_wins.lua takes them."""
    names = list(map(_named, block.names))
    if not block.texts and len(set(map(len, names))) == 1:
        return _rows(block, len(names[0]), names).tobytes()
    rows = _rows(block, 0, None)
    fixed, step = rows.tobytes(), rows.dtype.itemsize
    pieces = [fixed[i : i + step] for i in range(0, len(fixed), step)]
    if block.texts:
        pieces = [_with_texts(piece, texts) for piece, texts in zip(pieces, block.texts, strict=True)]
    return b"".join([part for pair in zip(names, pieces, strict=True) for part in pair])


def _rows(block: Block, name: int, names: list[bytes] | None) -> NDArray[Any]:
    """Return the messages but for their texts; with their names if those are all as long as `name`."""
    doubles, ints = block.doubles.shape[1], block.ints.shape[1]
    rows = np.empty(len(block), _row_type(doubles, ints, name))
    if names is not None:
        rows["name"] = names
    rows["field"] = block.shapes
    rows["length"] = rows.dtype.itemsize - name - 8
    rows["time"] = block.times
    rows["counts"] = (doubles, ints, len(block.texts[0]) if block.texts else 0)
    rows["doubles"] = block.doubles
    rows["ints"] = block.ints
    return rows


def pack(message: NewestMessage) -> bytes:
    """Return one message as restore.lua takes it."""
    head = HEAD.pack(message.time_us, len(message.doubles), len(message.ints), len(message.texts))
    numbers = struct.pack(f">{len(message.doubles)}d{len(message.ints)}q", *message.doubles, *message.ints)
    packed = b"".join(
        [head, numbers, *[FIELD.pack(len(raw)) + raw for raw in map(str.encode, message.texts)], UNSTORED]
    )
    return FIELD.pack(message.shape_id) + FIELD.pack(len(packed)) + packed


def unpack_all(held: list[bytes]) -> list[NewestMessage] | None:
    """Return the messages of a device's fields and values, or None if these are not all. Raises as `unpack`."""
    try:
        place = 2 * held[::2].index(MARK)
    except ValueError:
        return None
    messages = held[:place] + held[place + 2 :]
    if held[place + 1] != b"%d" % (len(messages) // 2):
        return None
    return list(map(unpack, messages[::2], messages[1::2]))


def unpack(field: bytes, packed: bytes) -> NewestMessage:
    """Return the message of a field. Raises NOT_OURS."""
    time, doubles, ints, texts = HEAD.unpack_from(packed)
    if not 0 <= time <= MAX_US:  # nor is NaN
        raise NotOursError(f"time {time} µs is no moment from 1970 to 9999")
    numbers = struct.unpack_from(f">{doubles}d{ints}q", packed, HEAD.size)
    position = HEAD.size + 8 * (doubles + ints)
    words = []
    for _ in range(texts):
        (length,) = FIELD.unpack_from(packed, position)
        position += 4 + length
        if position > len(packed):
            raise NotOursError("a text is cut off")
        words.append(packed[position - length : position].decode())
    return NewestMessage(FIELD.unpack(field)[0], int(time), numbers[:doubles], numbers[doubles:], tuple(words))


def split(blob: bytes) -> list[tuple[str, bytes, bytes]]:
    """Return the messages of newest_wins.lua's argument: device, field, packed; the last are for `unpack`.

    Raises ValueError, IndexError if the bytes are not ours.
    """
    found = []
    position, stop = 0, len(blob)
    while position < stop:
        head = position + 1 + blob[position]
        start = head + 8
        end = start + int.from_bytes(blob[head + 4 : start])
        if end > stop:
            raise ValueError(blob[position:head])
        found.append((blob[position + 1 : head].decode("ascii"), blob[head : head + 4], blob[start:end]))
        position = end
    return found


@lru_cache(maxsize=100_000)
def _named(name: str) -> bytes:
    return bytes((len(name),)) + name.encode()


def _with_texts(piece: bytes, texts: tuple[str, ...]) -> bytes:
    tail = b"".join(FIELD.pack(len(raw)) + raw for raw in map(str.encode, texts))
    return piece[:4] + FIELD.pack(len(piece) - 8 + len(tail)) + piece[8:] + tail


@lru_cache(maxsize=1024)
def _row_type(doubles: int, ints: int, name: int) -> np.dtype[Any]:
    return np.dtype(
        [
            ("name", f"S{name}"),
            ("field", ">u4"),
            ("length", ">u4"),
            ("time", ">f8"),
            ("counts", ">u2", (3,)),
            ("doubles", ">f8", (doubles,)),
            ("ints", ">i8", (ints,)),
        ]
    )
