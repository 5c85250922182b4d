"""PostgreSQL's binary COPY format. In: blocks. Out: the bytes of their rows, made with numpy. Pure.

Layout of a row (PostgreSQL manual, "COPY", Binary Format): int16 number of fields, then for each an int32 length and
its bytes, -1 for NULL; all big-endian. An array is int32 dimensions, flags, element type, then size and lower bound of
the dimension, then its elements, each with its length.
"""

import struct
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.domain.model import Block

HEADER = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
TRAILER = struct.pack(">h", -1)
FLOAT8, INT8, TEXT = 701, 20, 25
"""pg_type oids of the array elements."""
POSTGRES_EPOCH_US = 946_684_800_000_000
"""2000-01-01 in microseconds since 1970."""

COLUMNS = ("time", "device_id", "shape_id", "values", "ints", "texts")
STAGED_COLUMNS = ("n", *COLUMNS)


def encode(blocks: Iterable[Block], *, numbered: bool = False) -> bytes:
    """Return a whole COPY stream for COLUMNS; with `numbered` for STAGED_COLUMNS, n counting rows over all blocks."""
    parts = [HEADER]
    first = 0
    for block in blocks:
        parts.append(_rows(block, first if numbered else None))
        first += len(block)
    parts.append(TRAILER)
    return b"".join(parts)


def _rows(block: Block, first: int | None) -> bytes:
    doubles, ints = block.doubles.shape[1], block.ints.shape[1]
    rows = np.zeros(len(block), _row_type(doubles, ints, numbered=first is not None))
    rows["fields"] = len(COLUMNS) if first is None else len(STAGED_COLUMNS)
    if first is not None:
        _fill(rows, "n", np.arange(first, first + len(block)))
    _fill(rows, "time", block.times - POSTGRES_EPOCH_US)
    _fill(rows, "device", block.devices)
    _fill(rows, "shape", block.shapes)
    _fill_array(rows, "values", block.doubles, FLOAT8)
    _fill_array(rows, "ints", block.ints, INT8)
    if not block.texts:
        rows["no_texts"] = -1
        return rows.tobytes()
    return _with_texts(rows, block)


def _fill(rows: NDArray[Any], name: str, column: NDArray[Any]) -> None:
    rows[name]["length"] = rows.dtype[name]["value"].itemsize
    rows[name]["value"] = column


def _fill_array(rows: NDArray[Any], name: str, matrix: NDArray[Any], element: int) -> None:
    count = matrix.shape[1]
    if not count:
        rows[name] = -1
        return
    field = rows[name]
    field["length"] = rows.dtype[name].itemsize - 4
    field["dimensions"] = 1
    field["element"] = element
    field["size"] = count
    field["lower"] = 1
    field["items"]["length"] = 8
    field["items"]["value"] = matrix


def _with_texts(rows: NDArray[Any], block: Block) -> bytes:
    """Append the text array to each fixed-width row; its placeholder is cut off."""
    fixed, step = rows.tobytes(), rows.dtype.itemsize
    parts: list[bytes] = []
    for i, texts in enumerate(block.texts):
        parts.append(fixed[i * step : (i + 1) * step - 4])
        items = [text.encode() for text in texts]
        body = b"".join(struct.pack(">i", len(item)) + item for item in items)
        parts.append(struct.pack(">iiiiii", 20 + len(body), 1, 0, TEXT, len(items), 1) + body)
    return b"".join(parts)


@lru_cache(maxsize=1024)
def _row_type(doubles: int, ints: int, *, numbered: bool) -> np.dtype[Any]:
    fields: list[tuple[str, Any]] = [("fields", ">i2")]
    if numbered:
        fields.append(("n", _scalar(">i4")))
    fields += [("time", _scalar(">i8")), ("device", _scalar(">i4")), ("shape", _scalar(">i4"))]
    fields += [("values", _array(doubles, ">f8")), ("ints", _array(ints, ">i8")), ("no_texts", ">i4")]
    return np.dtype(fields)


def _scalar(kind: str) -> np.dtype[Any]:
    return np.dtype([("length", ">i4"), ("value", kind)])


def _array(count: int, kind: str) -> Any:
    if not count:
        return ">i4"
    head = [(name, ">i4") for name in ("length", "dimensions", "flags", "element", "size", "lower")]
    return np.dtype([*head, ("items", _scalar(kind), (count,))])
