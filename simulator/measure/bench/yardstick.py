"""The yardstick: how fast the database takes the same rows by plain binary COPY, without a gateway.

Works on a table of its own, made like the gateway's, with the same unique index and chunks as long; it is dropped when
this is left. What a gateway reaches is a share of this.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self, cast

import asyncpg

from simulator.core.errors import Unreachable
from simulator.measure.bench.copy_rows import COLUMNS, CopyRows
from simulator.measure.bench.database import Ground, connect
from simulator.measure.bench.window import Window
from simulator.measure.bench.workloads import Workload
from simulator.verify.database import LOST

ROWS = (1_000, 5_000, 20_000)
CONNECTIONS = (1, 2)
_SCHEMA = "simulator_bench"
_TABLE = "messages"
_APART_US = 500
"""Between the times of two connections: less than the step from row to row."""


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

    def __init__(self, url: str, ground: Ground) -> None:
        self._url = url
        self._ground = ground
        self._connections: list[asyncpg.Connection[asyncpg.Record]] = []

    async def __aenter__(self) -> Self:
        for _ in range(max(CONNECTIONS)):
            self._connections.append(await connect(self._url))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            await self._connections[0].execute(f"drop schema if exists {_SCHEMA} cascade")
        except LOST as lost:
            if error is None:
                raise Unreachable(f"The bench's schema {_SCHEMA} could not be dropped: {lost}.") from lost
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
        try:
            for step in steps:
                await self._connections[0].execute(step)
        except LOST as error:
            raise Unreachable(f"The bench's own table cannot be made: {error}.") from error

    async def copy(self, setup: Setup, window: Window, *, start_us: int) -> tuple[int, float]:
        """COPY until the window is closed; return the rows committed and the seconds that took.

        Times begin at `start_us` and rise by less than the time that passes: setups that begin as far apart as they
        take never meet.
        """
        streams = [
            CopyRows(
                width=setup.width,
                devices=setup.devices,
                shapes=setup.shapes,
                rows=setup.rows,
                start_us=start_us + i * _APART_US,
            )
            for i in range(setup.connections)
        ]
        began = window.open()
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(_copy_all(connection, rows, window), name=f"bench.copy[{i}]")
                    for i, (connection, rows) in enumerate(zip(self._connections, streams, strict=False))
                ]
        except* Unreachable as errors:
            raise errors.exceptions[0] from None
        return sum(task.result() for task in tasks), window.clock() - began


async def _copy_all(connection: "asyncpg.Connection[asyncpg.Record]", rows: CopyRows, window: Window) -> int:
    count = 0
    try:
        while window.is_open:
            await connection.copy_to_table(
                _TABLE, schema_name=_SCHEMA, source=_once(rows.next()), format="binary", columns=COLUMNS
            )
            count += rows.rows
    except LOST as error:
        raise Unreachable(f"The database does not take the yardstick's rows: {error}.") from error
    return count


async def _once(data: bytearray) -> AsyncIterator[bytes]:
    yield cast(bytes, data)  # asyncpg takes any buffer; a copy would be paid for by what is measured
