"""The yardstick: how fast the database takes the same rows by plain binary COPY, without a gateway.

Works on a table of its own, made like the gateway's, with the same unique index and chunks as long; it is dropped when
this is left. What a gateway reaches is a share of this.

PostgreSQL manual, "COPY", Binary Format: a header, then for each row an int16 with the number of fields and for each
field an int32 length and its bytes, -1 for NULL; at the end an int16 of -1. All of it big-endian. An array is int32
dimensions, flags and element type, then size and lower bound, then its elements, each with its length. The streams are
made before the clock starts. From one COMMIT to the next only their times are moved on, in place.
"""

import asyncio
import struct
from collections.abc import AsyncIterator
from random import Random
from typing import Self, cast

import asyncpg
import numpy as np

from simulator.core.errors import Unreachable, first_of
from simulator.measure.bench.results import Window
from simulator.measure.bench.workloads import CONNECTIONS, Setup
from simulator.verify.database import connect, unless_lost

_CONNECT_S, _COMMAND_S = 10.0, 120.0
_SCHEMA = "simulator_bench"
_TABLE = "messages"
_APART_US = 500
"""Between the times of two connections: less than the step from row to row."""
COLUMNS = ("time", "device_id", "shape_id", "values", "ints", "texts")
_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"
_KEY = struct.Struct(">hiqiiii")
"""Number of fields; time, device and shape, each behind its length."""
_TIME_AT = 6
_FLOAT8 = 701
_DIFFERENT = 997
"""Rows after which the same values come again."""
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
        some, start_us = min(rows, series), start_us - _US_TO_2000
        self._streams = [
            _Stream(range(first, first + some), shapes=shapes, depth=self._depth, width=width, start_us=start_us)
            for first in range(0, series, some)
        ]
        self._next = 0

    def next(self) -> bytearray:
        """Return the stream for one COMMIT, good until the next call; no row comes twice."""
        number, at = divmod(self._next, len(self._streams))
        self._next += 1
        stream = self._streams[at]
        if number:
            stream.times += self._depth * _STEP_US
        return stream.data


class _Stream:
    """The bytes of a COPY, and the times in them."""

    def __init__(self, series: range, *, shapes: int, depth: int, width: int, start_us: int) -> None:
        values = _values(width)
        keys = [(one // shapes + 1, one % shapes + 1, n * _STEP_US + start_us) for one in series for n in range(depth)]
        rows = [
            _KEY.pack(len(COLUMNS), 8, time_us, 4, device, 4, shape) + values[i % _DIFFERENT]
            for i, (device, shape, time_us) in enumerate(keys)
        ]
        self.data = bytearray(b"".join((_HEADER, *rows, _TRAILER)))
        self.times = np.ndarray(
            len(rows), dtype=">i8", buffer=self.data, offset=len(_HEADER) + _TIME_AT, strides=len(rows[0])
        )


def _values(width: int) -> list[bytes]:
    """Return what follows the keys of rows: an array of random doubles, and two fields that are NULL."""
    random, kind = Random(1), struct.Struct(">" + "i" * 6 + "id" * width + "ii")
    head = (20 + 12 * width, 1, 0, _FLOAT8, width, 1)
    drawn = ([round(random.uniform(-20, 2_000), 2) for _ in range(width)] for _ in range(_DIFFERENT))
    return [kind.pack(*head, *(part for value in row for part in (8, value)), -1, -1) for row in drawn]


class Yardstick:
    """The table and the connections. Use as `async with`. Every method raises Unreachable."""

    def __init__(self, url: str, *, chunk_us: int | None) -> None:
        """`chunk_us`: microseconds a chunk of the table spans, None for a plain one."""
        self._url = url
        self._chunk_us = chunk_us
        self._connections: list[asyncpg.Connection[asyncpg.Record]] = []

    async def __aenter__(self) -> Self:
        for _ in range(max(CONNECTIONS)):
            self._connections.append(await connect(self._url, timeout=_CONNECT_S, command_timeout=_COMMAND_S))
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
        table = f"{_SCHEMA}.{_TABLE}"
        steps = [
            f"drop schema if exists {_SCHEMA} cascade",
            f"create schema {_SCHEMA}",
            f"create table {table} (like messages)",
            f"create unique index on {table} (device_id, shape_id, time)",
        ]
        if self._chunk_us is not None:
            by = f"by_range('time', interval '{self._chunk_us} microseconds')"
            steps.insert(3, f"select create_hypertable('{table}', {by}, create_default_indexes => false)")
        with unless_lost("The bench's own table cannot be made"):
            for step in steps:
                await self._connections[0].execute(step)

    async def copy(self, setup: Setup, window: Window, *, start_us: int) -> tuple[int, float]:
        """COPY until the window is closed; return the rows committed and the seconds that took.

        Times begin at `start_us` and rise by less than the time that passes: setups that begin as far apart as they
        take never meet.
        """
        kind = {"width": setup.width, "devices": setup.devices, "shapes": setup.shapes, "rows": setup.rows}
        streams = [CopyRows(**kind, start_us=start_us + i * _APART_US) for i in range(setup.connections)]
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
