"""Rows as the gateway stores them, as streams of PostgreSQL's binary COPY. Pure; shares no code with the gateway.

PostgreSQL manual, "COPY", Binary Format: a header, then for each row an int16 with the number of fields and for each
field an int32 length and its bytes, -1 for NULL; at the end an int16 of -1. All of it big-endian. An array is int32
dimensions, flags and element type, then size and lower bound, then its elements, each with its length.

The streams are made before the clock starts. From one COMMIT to the next only their times are moved on, in place.
"""

from typing import Any

import numpy as np

COLUMNS = ("time", "device_id", "shape_id", "values", "ints", "texts")
_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"
_FLOAT8 = 701
_US_TO_2000 = 946_684_800_000_000
_STEP_US = 1_000


class CopyRows:
    """Rows of `width` doubles of all series in turn, `rows` in a stream, sorted by (device, shape, time)."""

    def __init__(self, *, width: int, devices: int, shapes: int, rows: int, start_us: int) -> None:
        """`rows` must be a multiple of devices x shapes, or go into it; `start_us` since 1970."""
        series = devices * shapes
        if max(rows, series) % min(rows, series):
            raise ValueError(f"{rows} rows do not fit {series} series")
        self.rows = rows
        self._depth = max(1, rows // series)
        self._streams = [
            _Stream(np.arange(first, first + min(rows, series)), shapes=shapes, depth=self._depth, width=width)
            for first in range(0, series, min(rows, series))
        ]
        self._next = 0
        for stream in self._streams:
            stream.move(start_us - _US_TO_2000)

    def next(self) -> bytearray:
        """Return the stream for one COMMIT, good until the next call; no row comes twice."""
        number, at = divmod(self._next, len(self._streams))
        self._next += 1
        stream = self._streams[at]
        if number:
            stream.move(self._depth * _STEP_US)
        return stream.data


class _Stream:
    def __init__(self, series: Any, *, shapes: int, depth: int, width: int) -> None:
        count = len(series) * depth
        kind = _row_type(width)
        self.data = bytearray(len(_HEADER) + count * kind.itemsize + len(_TRAILER))
        self.data[: len(_HEADER)] = _HEADER
        self.data[-len(_TRAILER) :] = _TRAILER
        self._rows = np.frombuffer(self.data, kind, count=count, offset=len(_HEADER))
        self._fill(np.repeat(series, depth), shapes=shapes, width=width)
        self._rows["time"]["value"] = np.tile(np.arange(depth) * _STEP_US, len(series))

    def _fill(self, series: Any, *, shapes: int, width: int) -> None:
        rows = self._rows
        rows["fields"] = len(COLUMNS)
        for name, values in (("device", series // shapes + 1), ("shape", series % shapes + 1)):
            rows[name]["length"] = 4
            rows[name]["value"] = values
        rows["time"]["length"] = 8
        array = rows["values"]
        for name, value in (
            ("length", 20 + 12 * width), ("dimensions", 1), ("element", _FLOAT8), ("size", width), ("lower", 1)
        ):  # fmt: skip
            array[name] = value
        array["items"]["length"] = 8
        array["items"]["value"] = np.random.default_rng(1).uniform(-20, 2_000, (len(rows), width)).round(2)
        rows["ints"] = rows["texts"] = -1

    def move(self, us: int) -> None:
        """Make all rows later."""
        self._rows["time"]["value"] += us


def _row_type(width: int) -> "np.dtype[Any]":
    head = [(name, ">i4") for name in ("length", "dimensions", "flags", "element", "size", "lower")]
    array = np.dtype([*head, ("items", _field(">f8"), (width,))])
    return np.dtype(
        [
            ("fields", ">i2"),
            ("time", _field(">i8")),
            ("device", _field(">i4")),
            ("shape", _field(">i4")),
            ("values", array),
            ("ints", ">i4"),
            ("texts", ">i4"),
        ]
    )


def _field(kind: str) -> "np.dtype[Any]":
    return np.dtype([("length", ">i4"), ("value", kind)])
