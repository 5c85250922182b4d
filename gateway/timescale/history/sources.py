"""The places of series. In: names of devices and metrics. Out: where their values lie in `messages`. One round trip."""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from gateway.domain.contracts.newest import ShapeBook
from gateway.domain.history import SeriesName
from gateway.domain.model import Metric, Shape
from gateway.timescale.connections.pool import Connection
from gateway.timescale.queries import query

TEXT_WIDTH = 100
"""Numbers that take as much room as a text."""


class Slice(NamedTuple):
    """The positions of an array that are read, from 1 and inclusive as in SQL; (1, 0) is none of them."""

    first: int
    last: int


class Pair(NamedTuple):
    """A shape of a device, and which of its metrics are wanted."""

    device: str
    device_id: int
    shape_id: int
    shape: Shape
    doubles: list[int]
    """Wanted positions, from 0, in the array of doubles; likewise below."""
    ints: list[int]
    texts: list[int]

    @property
    def slices(self) -> tuple[Slice, Slice]:
        """The parts of the arrays of doubles and ints that hold what is wanted."""
        return _slice(self.doubles), _slice(self.ints)

    @property
    def width(self) -> int:
        """What a message costs to read, in numbers; a text counts as many."""
        return 1 + sum(one.last - one.first + 1 for one in self.slices) + TEXT_WIDTH * len(self.texts)

    @property
    def wanted(self) -> list[Metric]:
        """The wanted metrics."""
        return [column[position] for column, positions in _columns(self) for position in positions]


class HistorySource(NamedTuple):
    """Where a part of a series lies."""

    device_id: int
    shape_id: int
    position: int
    """From 1, as in SQL."""
    older: str | None
    """Shapes whose row of the same time tells this metric first, as text of an int4[]."""


class Sources(NamedTuple):
    """Everything that a question is about."""

    pairs: list[Pair]
    unknown: list[str]
    """Devices that do not exist."""

    def series(self) -> dict[SeriesName, list[HistorySource]]:
        """Return the places of each series, ordered by device, metric and kind."""
        found: dict[SeriesName, list[tuple[Pair, int]]] = {}
        for pair in self.pairs:
            for column, positions in _columns(pair):
                for position in positions:
                    metric = column[position]
                    found.setdefault(SeriesName(pair.device, metric.name, metric.kind), []).append((pair, position))
        return {name: _places(found[name]) for name in sorted(found)}


async def find_sources(
    connection: Connection, book: ShapeBook, devices: Sequence[str], *, metrics: Collection[str] | None
) -> Sources:
    """Return the pairs that hold the metrics (None: all of them); those of a device by age of the shape.

    Raises DATABASE_ERRORS, SinkUnavailable, SinkFault.
    """
    rows = await connection.fetch(query("history_devices"), devices)
    shapes = await book.shapes({shape_id for row in rows for shape_id in row["shape_ids"]})
    known = {row["name"] for row in rows}
    pairs = [
        pair
        for row in rows
        for shape_id in row["shape_ids"]
        if (pair := _to_pair(row, shape_id, shapes[shape_id], metrics)) is not None
    ]
    return Sources(pairs, [name for name in devices if name not in known])


def _to_pair(row: Any, shape_id: int, shape: Shape, metrics: Collection[str] | None) -> Pair | None:
    wanted = [
        [at for at, metric in enumerate(column) if metrics is None or metric.name in metrics]
        for column in (shape.doubles, shape.ints, shape.texts)
    ]
    if not any(wanted):
        return None
    return Pair(row["name"], row["id"], shape_id, shape, *wanted)


def _slice(positions: Sequence[int]) -> Slice:
    return Slice(positions[0] + 1, positions[-1] + 1) if positions else Slice(1, 0)


def _columns(pair: Pair) -> list[tuple[Sequence[Metric], list[int]]]:
    return [(pair.shape.doubles, pair.doubles), (pair.shape.ints, pair.ints), (pair.shape.texts, pair.texts)]


def _places(parts: list[tuple[Pair, int]]) -> list[HistorySource]:
    shape_ids = [pair.shape_id for pair, _ in parts]  # ascending: the older first
    return [
        HistorySource(pair.device_id, pair.shape_id, position + 1, _array(shape_ids[:number]))
        for number, (pair, position) in enumerate(parts)
    ]


def _array(ids: Sequence[int]) -> str | None:
    return f"{{{','.join(map(str, ids))}}}" if ids else None
