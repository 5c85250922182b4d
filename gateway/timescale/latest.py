"""Device names → the newest stored message of each shape, straight from `messages`. Only reads, for a bounded time."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from gateway.contracts import Newest, NewestPage
from gateway.timescale.pool import Pool
from gateway.timescale.queries import query

READ_SECS = 5.0
"""Longest query: beyond it the server is told to stop, and the caller that the database cannot be reached."""


class TimescaleNewest:
    """`contracts.NewestStored`. Give it a pool of its own: dashboards must not take the connections of the ingest."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def read(self, devices: Sequence[str]) -> list[list[Newest]]:
        """Return what is stored of each device, in order. Raises SinkUnavailable, SinkFault."""
        found: dict[str, list[Newest]] = {name: [] for name in devices}
        for row in await self._fetch(query("newest_of_devices"), list(found)):
            found[row["name"]].append(_to_newest(row))
        return [found[name] for name in devices]

    async def times(self, devices: Sequence[str]) -> list[int | None]:
        """Return the time (µs) of each device's newest message, in order. Raises SinkUnavailable, SinkFault."""
        rows = await self._fetch(query("newest_times"), list(devices))
        found: dict[str, int] = {row["name"]: row["time_us"] for row in rows}
        return [found.get(name) for name in devices]

    async def count(self) -> int:
        """Return how many series there are. Raises SinkUnavailable, SinkFault."""
        ((count,),) = await self._fetch(query("count_series"))
        return int(count)

    async def page(self, after: tuple[int, int], *, size: int) -> NewestPage:
        """Return the series that follow `after`, by device and shape. Raises SinkUnavailable, SinkFault."""
        rows = await self._fetch(query("newest_after"), *after, size)
        last = (rows[-1]["device_id"], rows[-1]["shape_id"]) if rows else after
        messages = [(row["name"], _to_newest(row)) for row in rows if row["time_us"] is not None]
        return NewestPage(messages, len(rows), last)

    async def _fetch(self, statement: str, *values: object) -> Sequence[Any]:
        async with self._pool.connection() as connection:
            rows: Sequence[Any] = await connection.fetch(statement, *values, timeout=READ_SECS)
        return rows


class Stored(NamedTuple):
    """When devices were last heard of."""

    newest: dict[str, int | None]
    """Device name → the time of its newest message (µs)."""
    source: str = "db"


class StoredTimes:
    """Tells from the database alone when devices were last heard of."""

    def __init__(self, stored: TimescaleNewest) -> None:
        self._stored = stored

    async def times(self, reported: Mapping[str, bool]) -> Stored:
        """Return it for each of these devices; told is whether each ever was. Raises SinkUnavailable, SinkFault."""
        heard = [name for name, ever in reported.items() if ever]
        found = dict(zip(heard, await self._stored.times(heard), strict=True)) if heard else {}
        return Stored({name: found.get(name) for name in reported})


def _to_newest(row: Any) -> Newest:
    columns = (tuple(row[column] or ()) for column in ("values", "ints", "texts"))
    return Newest(row["shape_id"], row["time_us"], *columns)
