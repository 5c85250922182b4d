"""The newest stored messages. In: names of devices. Out: the newest of each shape. Only reads, for a bounded time."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from gateway.core.timestamps import to_datetime
from gateway.domain.contracts.newest import DevicePage, NewestMessage, NewestTimes
from gateway.domain.history import Span
from gateway.timescale.chunks import EVER, Calendar
from gateway.timescale.connections.pool import Connection, Pool
from gateway.timescale.queries import query

READ_SECS = 5.0
"""Longest query: beyond it the server is told to stop, and the caller that the database cannot be reached."""


class TimescaleNewest:
    """`contracts.NewestStored`. Give it a pool of its own: dashboards must not take the connections of the ingest."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._calendar = Calendar()

    async def read(self, devices: Sequence[str]) -> list[list[NewestMessage]]:
        """Return what is stored of each device, in order. Raises SinkUnavailable, SinkFault."""
        found: dict[str, list[NewestMessage]] = {name: [] for name in devices}
        for row in await self._series(query("newest_of_devices"), list(found)):
            if row["time_us"] is not None:
                found[row["name"]].append(_to_newest(row))
        return [found[name] for name in devices]

    async def times(self, devices: Sequence[str]) -> list[int | None]:
        """Return the time (µs) of each device's newest message, in order. Raises SinkUnavailable, SinkFault."""
        found: dict[str, int] = {}
        async with self._connection() as connection:
            for window in await self._windows(connection):
                left = [name for name in dict.fromkeys(devices) if name not in found]
                if not left:
                    break
                rows = await _fetch(connection, query("newest_times"), left, window=window)
                found |= {row["name"]: row["time_us"] for row in rows}
        return [found.get(name) for name in devices]

    async def count(self) -> int:
        """Return how many series there are. Raises SinkUnavailable, SinkFault."""
        async with self._pool.connection() as connection:
            ((count,),) = await _fetch(connection, query("count_series"))
        return int(count)

    async def page(self, after: int, *, size: int) -> DevicePage:
        """Return devices that follow `after` with about `size` series. Raises SinkUnavailable, SinkFault."""
        async with self._connection() as connection:
            rows = await _fetch(connection, query("devices_after"), after, size)
        last = rows[-1]["device_id"] if rows else after
        return DevicePage([row["name"] for row in rows], sum([row["series"] for row in rows]), last)

    async def _series(self, statement: str, *values: object) -> Sequence[Any]:
        """Return the rows of a statement about series; those without a message are looked for window by window."""
        async with self._connection() as connection:
            newest, *earlier = await self._windows(connection)
            rows = list(await _fetch(connection, statement, *values, window=newest))
            for window in earlier:
                at = [n for n, row in enumerate(rows) if row["time_us"] is None]
                if not at:
                    break
                devices, shapes = ([rows[n][column] for n in at] for column in ("device_id", "shape_id"))
                found = await _fetch(connection, query("newest_of_series"), devices, shapes, window=window)
                by_key = {(row["device_id"], row["shape_id"]): row for row in found}
                for n in at:  # a device that was removed meanwhile is not found
                    rows[n] = by_key.get((rows[n]["device_id"], rows[n]["shape_id"]), rows[n])
        return rows

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        with self._calendar.learning():
            async with self._pool.connection() as connection:
                yield connection

    async def _windows(self, connection: Connection) -> list[Span | None]:
        """Return the times that one statement may be about, the newest first; None is all time."""
        windows = (await self._calendar.windows(connection)).over(EVER)
        return [None] if len(windows) == 1 else list(reversed(windows))


async def _fetch(connection: Connection, statement: str, *values: object, window: Span | None = None) -> Sequence[Any]:
    bounds, within = [], ""
    if window is not None:
        bounds = [to_datetime(moment) for moment in window]
        within = f"and x.time >= ${len(values) + 1} and x.time < ${len(values) + 2}"
    rows: Sequence[Any] = await connection.fetch(
        statement.replace("{within}", within), *values, *bounds, timeout=READ_SECS
    )
    return rows


class StoredTimes:
    """Tells from the database alone when devices were last heard of."""

    def __init__(self, stored: TimescaleNewest) -> None:
        self._stored = stored

    async def times(self, reported: Mapping[str, bool]) -> NewestTimes:
        """Return it for each of these devices; told is whether each ever was. Raises SinkUnavailable, SinkFault."""
        heard = [name for name, ever in reported.items() if ever]
        found = dict(zip(heard, await self._stored.times(heard), strict=True)) if heard else {}
        return NewestTimes({name: found.get(name) for name in reported}, "db")


def _to_newest(row: Any) -> NewestMessage:
    columns = (tuple(row[column] or ()) for column in ("values", "ints", "texts"))
    return NewestMessage(row["shape_id"], row["time_us"], *columns)
