"""Stored readings from the database: names of devices in, columns of readings out. Never writes.

Reads the table of messages (DESIGN: one row a message, its values in arrays whose metrics the shape names), a few
thousand rows at a time, so that memory stays flat however much there is.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import asyncpg
import numpy as np

from simulator.core.errors import Unreachable
from simulator.send.target import Column
from simulator.verify.database import connect, let_go, unless_lost

_ROWS = 20_000
_NAMES = 10_000
_CONNECT_S = 10.0
_TIMEOUT_S = 300.0
_US_TO_2000 = 946_684_800_000_000

_IDS = "select name, id from devices where name = any($1::text[])"
_SHAPES = "select id, value_metrics, int_metrics, text_metrics from shapes where id = any($1::int[])"
_METRICS = "select id, name, kind from metrics where id = any($1::int[])"
_MESSAGES = """
select device_id, shape_id, time, values, ints, texts from messages
where device_id = any($1::int[]) and time >= to_timestamp($2::float8 / 1000)
"""
_COUNT = """
select coalesce(sum(coalesce(cardinality(values), 0) + coalesce(cardinality(ints), 0)
                    + coalesce(cardinality(texts), 0)), 0)::int8
from messages where device_id = any($1::int[]) and time >= to_timestamp($2::float8 / 1000)
"""


@dataclass(frozen=True, slots=True)
class _Shape:
    """Metrics as (name, kind), in the order of each array of a message."""

    values: tuple[tuple[str, str], ...]
    ints: tuple[tuple[str, str], ...]
    texts: tuple[tuple[str, str], ...]


_UNKNOWN = _Shape((), (), ())
"""Of a message whose shape is not there nothing can be told: its readings are not there either."""


class StoredReadings:
    """A connection to the gateway's database. Every method raises Unreachable when it is lost."""

    shows_twins = True

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        self._connection = connection
        self._shapes: dict[int, _Shape] = {}
        self._ids: dict[str, int] = {}

    @classmethod
    async def open(cls, url: str) -> Self:
        """Connect. Raises UsageError for no URL, and Unreachable, also for a database that is not a gateway's."""
        stored = cls(await connect(url, timeout=_CONNECT_S, command_timeout=_TIMEOUT_S))
        try:
            await stored._prepare()
        except BaseException:
            await stored.close()
            raise
        return stored

    async def _prepare(self) -> None:
        with unless_lost("The database was lost at once"):
            await self._connection.set_type_codec(
                "timestamptz",
                schema="pg_catalog",
                encoder=lambda us: (us - _US_TO_2000,),
                decoder=lambda fields: fields[0] + _US_TO_2000,
                format="tuple",
            )
            if await self._connection.fetchval("select to_regclass('messages')") is None:
                raise Unreachable("The database holds no table of messages: it is not a gateway's.")

    async def close(self) -> None:
        """Close the connection; never fails."""
        await let_go(self._connection)

    async def count(self, names: Sequence[str], *, since_ms: int) -> int:
        """Return how many readings of the devices are stored that are not older than this."""
        with unless_lost("The database was lost while counting"):
            ids = list((await self._find(names)).values())
            return int(await self._connection.fetchval(_COUNT, ids, float(since_ms)))

    async def columns(self, names: Sequence[str], *, since_ms: int, until_ms: int, first: int) -> AsyncIterator[Column]:
        """Yield all that is stored of the devices, as `Source` says; beyond `until_ms` too, where nothing should be."""
        del until_ms
        with unless_lost("The database was lost while reading"):
            ids = await self._find(names)
            numbers = {ids[name]: first + i for i, name in enumerate(names) if name in ids}
            async with self._connection.transaction(readonly=True):
                cursor = await self._connection.cursor(_MESSAGES, list(numbers), float(since_ms))
                while rows := await cursor.fetch(_ROWS):
                    for column in await self._to_columns(rows, numbers):
                        yield column

    async def _find(self, names: Sequence[str]) -> dict[str, int]:
        missing = [name for name in names if name not in self._ids]
        for at in range(0, len(missing), _NAMES):
            for row in await self._connection.fetch(_IDS, missing[at : at + _NAMES]):
                self._ids[row["name"]] = row["id"]
        return {name: self._ids[name] for name in names if name in self._ids}

    async def _to_columns(self, rows: Iterable[asyncpg.Record], numbers: dict[int, int]) -> list[Column]:
        groups: defaultdict[int, list[asyncpg.Record]] = defaultdict(list)
        for row in rows:
            groups[row[1]].append(row)
        await self._learn([shape for shape in groups if shape not in self._shapes])
        return [
            column
            for shape, group in groups.items()
            for column in _split(self._shapes.get(shape, _UNKNOWN), group, numbers)
        ]

    async def _learn(self, shapes: list[int]) -> None:
        if not shapes:
            return
        found = await self._connection.fetch(_SHAPES, shapes)
        wanted = {metric for row in found for ids in tuple(row)[1:] for metric in ids or ()}
        names = {row["id"]: (row["name"], row["kind"]) for row in await self._connection.fetch(_METRICS, list(wanted))}
        for row in found:
            arrays = (tuple(names.get(metric, (f"#{metric}", "")) for metric in ids or ()) for ids in tuple(row)[1:])
            self._shapes[row["id"]] = _Shape(*arrays)


def _split(shape: _Shape, rows: list[asyncpg.Record], numbers: dict[int, int]) -> Iterator[Column]:
    """Turn messages of one shape into a column for each of its metrics."""
    device = np.array([numbers[row[0]] for row in rows], dtype=np.int64)
    time_us = np.array([row[2] for row in rows], dtype=np.int64)
    for at, metrics, kind in ((3, shape.values, np.float64), (4, shape.ints, object), (5, shape.texts, object)):
        if metrics:
            table = _to_table([row[at] for row in rows], width=len(metrics), kind=kind)
            for i, (name, stored_as) in enumerate(metrics):
                yield Column(name, stored_as, device, time_us, table[:, i])


def _to_table(arrays: list[list[Any] | None], *, width: int, kind: Any) -> Any:
    """Return the arrays as one; one that is not as wide as its shape says is all wrong, so it becomes all None."""
    whole = [a if a is not None and len(a) == width else [None] * width for a in arrays]
    return np.array(whole, dtype=kind).reshape(len(whole), width)
