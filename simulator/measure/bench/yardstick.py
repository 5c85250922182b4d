"""The yardstick: how fast the database takes the same rows by plain binary COPY, without a gateway.

Works on a table of its own, made like the gateway's, with the same unique index and chunks as long; it is dropped when
this is left. What a gateway reaches is a share of this.

PostgreSQL manual, "COPY", Binary Format: a header, then for each row an int16 with the number of fields and for each
field an int32 length and its bytes, -1 for NULL; at the end an int16 of -1. All of it big-endian. An array is int32
dimensions, flags and element type, then size and lower bound, then its elements, each with its length. The streams are
made before the clock starts. From one COMMIT to the next only their times are moved on, in place.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Self, cast

import asyncpg
import numpy as np

from simulator.core.errors import Unreachable, first_of
from simulator.measure.bench.database import DatabaseKind, connect
from simulator.measure.bench.tally import Window
from simulator.measure.bench.workloads import Workload
from simulator.verify.database import unless_lost

ROWS = (1_000, 5_000, 20_000)
CONNECTIONS = (1, 2)
_SCHEMA = "simulator_bench"
_TABLE = "messages"
_APART_US = 500
"""Between the times of two connections: less than the step from row to row."""
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


@dataclass(frozen=True, slots=True)
class Setup:
    """One way to COPY: `width` values a row, of so many devices with so many shapes each; `rows` a COMMIT."""

    width: int
    devices: int
    shapes: int
    rows: int
    connections: int


def setups(workloads: Sequence[Workload]) -> list[Setup]:
    """Return what to measure beside these workloads: rows as wide, of as many devices."""
    forms = {workload.form.width: workload.form for workload in reversed(workloads) if workload.ingests}
    return [
        Setup(width, form.devices, form.series // form.devices, rows, connections)
        for width, form in sorted(forms.items())
        for rows in ROWS
        for connections in CONNECTIONS
    ]


class Yardstick:
    """The table and the connections. Use as `async with`. Every method raises Unreachable."""

    def __init__(self, url: str, ground: DatabaseKind) -> None:
        self._url = url
        self._ground = ground
        self._connections: list[asyncpg.Connection[asyncpg.Record]] = []

    async def __aenter__(self) -> Self:
        for _ in range(max(CONNECTIONS)):
            self._connections.append(await connect(self._url))
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            with unless_lost(f"The bench's schema {_SCHEMA} could not be dropped"):
                await self._connections[0].execute(f"drop schema if exists {_SCHEMA} cascade")
        except Unreachable:
            if error is None:
                raise
        finally:
            for connection in self._connections:
                connection.terminate()

    async def renew(self) -> None:
        """Begin with an empty table."""
        chunk_us = self._ground.chunk_us
        table = f"{_SCHEMA}.{_TABLE}"
        steps = [
            f"drop schema if exists {_SCHEMA} cascade",
            f"create schema {_SCHEMA}",
            f"create table {table} (like messages)",
            f"create unique index on {table} (device_id, shape_id, time)",
        ]
        if chunk_us is not None:
            by = f"by_range('time', interval '{chunk_us} microseconds')"
            steps.insert(3, f"select create_hypertable('{table}', {by}, create_default_indexes => false)")
        with unless_lost("The bench's own table cannot be made"):
            for step in steps:
                await self._connections[0].execute(step)

    async def copy(self, setup: Setup, window: Window, *, start_us: int) -> tuple[int, float]:
        """COPY until the window is closed; return the rows committed and the seconds that took.

        Times begin at `start_us` and rise by less than the time that passes: setups that begin as far apart as they
        take never meet.
        """
        streams = [
            CopyRows(
                width=setup.width, devices=setup.devices, shapes=setup.shapes, rows=setup.rows,
                start_us=start_us + i * _APART_US,
            )
            for i in range(setup.connections)
        ]  # fmt: skip
        began = window.open()
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(_copy_all(connection, rows, window), name=f"bench.copy[{i}]")
                    for i, (connection, rows) in enumerate(zip(self._connections, streams, strict=False))
                ]
        except* Unreachable as errors:
            raise first_of(errors) from None
        return sum(task.result() for task in tasks), window.clock() - began


async def _copy_all(connection: "asyncpg.Connection[asyncpg.Record]", rows: CopyRows, window: Window) -> int:
    count = 0
    with unless_lost("The database does not take the yardstick's rows"):
        while window.is_open:
            await connection.copy_to_table(
                _TABLE, schema_name=_SCHEMA, source=_once(rows.next()), format="binary", columns=COLUMNS
            )
            count += rows.rows
    return count


async def _once(data: bytearray) -> AsyncIterator[bytes]:
    yield cast(bytes, data)  # asyncpg takes any buffer; a copy would be paid for by what is measured
