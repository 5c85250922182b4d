"""Charts. In: series and a number of points. Out: numbers thinned, bools and texts as their changes.

Up to MAX_VALUES values are read one by one and thinned. Of more, the database first keeps the first, last, lowest and
highest point of each of MAX_CUTS slices of the span, so that peaks survive, and those are thinned.
"""

import asyncio
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gateway.domain.buckets import Cut
from gateway.domain.history import MAX_CHANGES, Series, SeriesName, Span
from gateway.domain.model import Kind, Metric
from gateway.timescale.connections.pool import Connection
from gateway.timescale.history.buckets import BucketRead, by_series, to_arguments, to_parts
from gateway.timescale.history.decode import HistoryBlock, read_blocks
from gateway.timescale.history.lttb import thin
from gateway.timescale.history.sources import HistorySource, Pair, Sources
from gateway.timescale.history.windows import Row, fetch_over
from gateway.timescale.queries import query

MAX_VALUES = 2_000_000
"""Values read one by one for one call, about 30 bytes each while they are looked at."""
BLOCK_VALUES = 500_000
"""Values of one statement."""
MAX_CUTS = 4_000
"""Slices of a span that is too long to be read one by one."""
NUMBERS = (Kind.DOUBLE, Kind.INT)


class ChartPoints(NamedTuple):
    """A series of numbers before it is thinned; times ascend."""

    times: NDArray[np.int64]
    values: NDArray[Any]


class ChartQuery(NamedTuple):
    """What a chart is to show."""

    span: Span
    points: int
    timescale: bool
    windows: Sequence[Span]
    """The span in parts that may be read by one statement, in order of time."""


async def read_chart(connection: Connection, sources: Sources, chart: ChartQuery) -> list[Series]:
    """Return the series that have readings in the span, ordered by name. Raises DATABASE_ERRORS."""
    places = sources.series()
    numbers = [name for name in places if name.kind in NUMBERS]
    points = await _read_all(connection, sources, chart) if numbers else {}
    if points is None:
        points = await _read_extremes(connection, places, chart)
    found = await asyncio.to_thread(_thin_all, points, chart.points)
    for name in places:
        if name.kind not in NUMBERS:
            found += await _changes(connection, name, places[name], chart)
    return sorted(found, key=lambda series: series.name)


def _thin_all(points: Mapping[SeriesName, ChartPoints], most: int) -> list[Series]:
    """Thin each series; up to a tenth of a second of work, so it runs beside the event loop."""
    found = []
    for name, (times, values) in points.items():
        kept = thin(times, values.astype(np.float64), most)
        found.append(Series(name, times[kept].tolist(), {"value": values[kept].tolist()}))
    return found


async def _read_all(
    connection: Connection, sources: Sources, chart: ChartQuery
) -> dict[SeriesName, ChartPoints] | None:
    """Read every message, or return None as soon as there are clearly too many."""
    pairs = [numeric for pair in sources.pairs if (numeric := _numbers_of(pair)).wanted]
    read: list[HistoryBlock] = []
    seen = 0
    for window in chart.windows:
        spans = [(pair, window) for pair in pairs]
        while spans:
            rows = max(2, BLOCK_VALUES // sum(pair.width for pair, _ in spans))
            blocks = await read_blocks(connection, spans, rows=rows)
            read += blocks
            seen += sum(block.doubles.size + block.ints.size for block in blocks)
            full = [block for block in blocks if len(block.times) == rows]
            if seen + sum(_to_come(block, chart.span) for block in full) > MAX_VALUES:
                return None
            spans = [(block.pair, window._replace(start_us=int(block.times[-1]) + 1)) for block in full]
    return _by_name(read)


def _numbers_of(pair: Pair) -> Pair:
    """Return the pair without its bools and texts: those are charted by their changes."""
    doubles = [position for position in pair.doubles if pair.shape.doubles[position].kind is Kind.DOUBLE]
    return pair._replace(doubles=doubles, texts=[])


def _to_come(block: HistoryBlock, span: Span) -> float:
    """Guess how many values follow, from how far the block came."""
    covered = int(block.times[-1] - block.times[0])
    return (block.doubles.size + block.ints.size) * (span.end_us - int(block.times[-1])) / max(1, covered)


def _by_name(blocks: Sequence[HistoryBlock]) -> dict[SeriesName, ChartPoints]:
    """Take the series out of the blocks, those of the oldest shape first."""
    parts: dict[SeriesName, list[ChartPoints]] = {}
    for block in sorted((block for block in blocks if len(block.times)), key=lambda block: block.pair.shape_id):
        shape, device = block.pair.shape, block.pair.device
        columns: list[tuple[Metric, NDArray[Any]]] = []
        columns += [(shape.doubles[at], block.doubles[:, n]) for n, at in enumerate(block.pair.doubles)]
        columns += [(shape.ints[at], block.ints[:, n]) for n, at in enumerate(block.pair.ints)]
        for metric, values in columns:
            name = SeriesName(device, metric.name, metric.kind)
            parts.setdefault(name, []).append(ChartPoints(block.times, values))
    return {name: _joined(found) for name, found in parts.items()}


def _joined(parts: Sequence[ChartPoints]) -> ChartPoints:
    """Join parts of one series; of the same time the first part wins."""
    times = np.concatenate([part.times for part in parts])
    values = np.concatenate([part.values for part in parts])
    if bool((np.diff(times) > 0).all()):
        return ChartPoints(times, values)
    times, kept = np.unique(times, return_index=True)
    return ChartPoints(times, values[kept])


async def _read_extremes(
    connection: Connection, places: Mapping[SeriesName, Sequence[HistorySource]], chart: ChartQuery
) -> dict[SeriesName, ChartPoints]:
    span = chart.span
    every_us = -(-(span.end_us - span.start_us) // MAX_CUTS)
    cut = Cut(span, every_us, span.start_us, None)
    found: dict[SeriesName, ChartPoints] = {}
    for kind in NUMBERS:
        names = [name for name in places if name.kind is kind]
        if names:
            read = BucketRead({name: places[name] for name in names}, cut, chart.timescale, chart.windows)
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                parts = await read.fetch(connection, query("history_extremes", **read.parts))
            rows = list(chain.from_iterable(parts))
            found |= {names[number]: _extremes(part, kind) for number, part in by_series(rows)}
    return found


def _extremes(rows: Sequence[Any], kind: Kind) -> ChartPoints:
    """Turn first, last, lowest and highest of each slice into points, each time once."""
    pairs = [tuple(row[end]) for row in rows for end in ("first", "last")]
    pairs += [tuple(reversed(row[end])) for row in rows for end in ("lowest", "highest")]
    times, kept = np.unique(np.array([int(time_us) for time_us, _ in pairs], np.int64), return_index=True)
    values = np.array([value for _, value in pairs], np.float64 if kind is Kind.DOUBLE else np.int64)
    return ChartPoints(times, values[kept])


async def _changes(
    connection: Connection, name: SeriesName, places: Sequence[HistorySource], chart: ChartQuery
) -> list[Series]:
    """Return one series, or none if there is nothing in the span."""
    only = {name: places}
    statement, arguments = query("history_changes", **to_parts(only)), to_arguments(only)
    rows: list[Row] = []
    for window in reversed(chart.windows):
        (found,) = await fetch_over(connection, statement, arguments, [window], [MAX_CHANGES + 1])
        _append_older(rows, found)
        if len(rows) > MAX_CHANGES:
            break
    kept = rows[:MAX_CHANGES][::-1]
    values = [row["v"] if name.kind is Kind.TEXT else bool(row["v"]) for row in kept]
    series = Series(name, [row["time_us"] for row in kept], {"value": values}, len(rows) > MAX_CHANGES)
    return [series] if kept else []


def _append_older(newer: list[Row], older: Sequence[Row]) -> None:
    """Append the changes of the window before, newest first, and leave out what is none now that both are known."""
    if newer and older:
        if newer[-1]["v"] == older[0]["v"] and len(newer) > 1:
            newer.pop()  # it was the first point of its window
        older = older if older[0]["changed"] else older[1:]
    newer += older
