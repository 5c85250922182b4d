"""Buckets. In: series and a cut. Out: what each bucket says, computed by the database.

Bools count as 0 and 1. Sums and extremes of ints are exact; a sum may be larger than any int8. A sum of doubles that is
larger than any double is infinite, and a percentile between two values further apart than that is NaN.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from itertools import chain
from math import isfinite, nan
from typing import Any, NamedTuple

from gateway.core.timestamps import to_datetime
from gateway.domain.buckets import Cut
from gateway.domain.history import Column, Fill, Series, SeriesName, SeriesQuery, Span
from gateway.domain.model import Kind, Value
from gateway.timescale.connections.pool import Connection
from gateway.timescale.history.sources import HistorySource
from gateway.timescale.history.windows import Row, check_packed, fetch_over, join_buckets, join_percentiles
from gateway.timescale.queries import query

Places = Mapping[SeriesName, Sequence[HistorySource]]
PERCENTILES = {"p50": 0, "p95": 1}
FRACTIONS = (0.5, 0.95)
Percentiles = dict[tuple[int, int], Sequence[float]]
"""By number of the series and start of the bucket."""
SUMS = {"sum", "avg"}
_LARGE = 2.0**64
"""The unit of sums of large values: see history.sql."""
COLUMNS = {Kind.DOUBLE: "values", Kind.BOOL: "values", Kind.INT: "ints", Kind.TEXT: "texts"}
"""Of `messages`, in which the values of each kind lie."""


class BucketRead(NamedTuple):
    """Series of one column, cut into buckets, and the windows they are read in."""

    places: Places
    cut: Cut
    timescale: bool
    windows: Sequence[Span]

    @property
    def parts(self) -> dict[str, str]:
        """The SQL that depends on the series and the cut; see history.sql."""
        if self.cut.days is not None:
            bucket = query("bucket_days")
        else:
            bucket = query("bucket_timescaledb" if self.timescale else "bucket_postgresql")
        return {"bucket": bucket, **to_parts(self.places)}

    async def fetch(self, connection: Connection, statement: str, *more: object) -> list[Sequence[Row]]:
        """Return the rows of each window; `more` arguments follow those of the buckets. Raises DATABASE_ERRORS."""
        arguments = [*_to_bucket(self.cut), *more]
        return await fetch_over(connection, statement, to_arguments(self.places), self.windows, arguments)


async def read_buckets(
    connection: Connection, places: Places, cut: Cut, *, wish: SeriesQuery, timescale: bool, windows: Sequence[Span]
) -> list[Series]:
    """Return the series that have readings in the span, ordered by name; read window by window.

    Raises DATABASE_ERRORS, BadRequest.
    """
    found: list[Series] = []
    async with connection.transaction(isolation="repeatable_read", readonly=True):  # all statements see the same
        for column in dict.fromkeys(COLUMNS.values()):
            names = [name for name in places if COLUMNS[name.kind] == column]
            if names:
                read = BucketRead({name: places[name] for name in names}, cut, timescale, windows)
                found += await _read(connection, read, names, wish)
    return sorted(found, key=lambda series: series.name)


async def _read(
    connection: Connection, read: BucketRead, names: Sequence[SeriesName], wish: SeriesQuery
) -> list[Series]:
    kind = names[0].kind
    computed = [not {"first", "last"}.isdisjoint(wish.functions)]
    if COLUMNS[kind] == "values":
        statement = query("history_buckets_values", **read.parts)
        computed.append(not SUMS.isdisjoint(wish.functions))
    else:
        statement = query("history_buckets_ints" if kind is Kind.INT else "history_buckets_texts", **read.parts)
    rows = join_buckets(await read.fetch(connection, statement, *computed))
    percentiles: Percentiles = {}
    if not PERCENTILES.keys().isdisjoint(wish.functions):
        for row in await _read_percentiles(connection, read, rows):
            percentiles[row["series"], row["start_us"]] = row["percentiles"]
    ordered = sorted(rows, key=lambda row: (row["series"], row["start_us"]))
    return [_to_series(names[at], part, percentiles, cut=read.cut, wish=wish) for at, part in by_series(ordered)]


async def _read_percentiles(connection: Connection, read: BucketRead, buckets: Sequence[Row]) -> Sequence[Row]:
    """Have the database compute them, but of buckets that no statement can read whole the values are fetched."""
    if all(read.cut.start_of(window.start_us) == window.start_us for window in read.windows[1:]):
        return list(chain.from_iterable(await read.fetch(connection, query("history_percentiles", **read.parts))))
    check_packed(buckets)
    return join_percentiles(await read.fetch(connection, query("history_packed", **read.parts)), FRACTIONS)


def to_parts(places: Places) -> dict[str, str]:
    """Return the SQL that depends on where series of one column lie."""
    shadowed = any(place.older for found in places.values() for place in found)
    return {
        "column": COLUMNS[next(iter(places)).kind],
        "unshadowed": query("unshadowed_messages" if shadowed else "every_message"),
    }


def to_arguments(places: Places) -> list[object]:
    """Return the first five arguments: series by number, device, shape, position, older shapes."""
    rows = [(number, *place) for number, found in enumerate(places.values()) for place in found]
    return [list(column) for column in zip(*rows, strict=True)]


def _to_bucket(cut: Cut) -> tuple[object, object]:
    if cut.days is not None:
        return [to_datetime(start) for start in cut.days], to_datetime(cut.days[0])
    return timedelta(microseconds=cut.every_us), to_datetime(cut.origin_us)


def by_series(rows: Sequence[Any]) -> list[tuple[int, list[Any]]]:
    """Group rows by their number of a series."""
    found: dict[int, list[Any]] = {}
    for row in rows:
        found.setdefault(row["series"], []).append(row)
    return list(found.items())


def _to_series(
    name: SeriesName, rows: Sequence[Any], percentiles: Percentiles, *, cut: Cut, wish: SeriesQuery
) -> Series:
    starts = [row["start_us"] for row in rows]
    columns: dict[str, Column] = {}
    for function in wish.functions:
        read = _reader(name.kind, function, percentiles)
        columns[function] = [read(row) for row in rows]
    if wish.fill == "none":
        return Series(name, starts, columns)
    every = cut.starts()
    filled = {function: _filled(function, column, starts, every, wish.fill) for function, column in columns.items()}
    return Series(name, every, filled)


def _reader(kind: Kind, function: str, percentiles: Percentiles) -> Callable[[Any], Value | None]:
    if function in PERCENTILES:
        return lambda row: _percentile(percentiles[row["series"], row["start_us"]][PERCENTILES[function]])
    if function in SUMS and COLUMNS[kind] == "values":
        return _sum if function == "sum" else _average
    if kind is Kind.BOOL and function in ("first", "last"):
        return lambda row: bool(row[function])
    if kind is Kind.INT and function == "sum":
        return lambda row: int(row["sum"])
    return lambda row: row[function]


def _percentile(value: float) -> float:
    return float(value) if isfinite(value) else nan


def _sum(row: Any) -> float:
    small, large = row["sum"], row["large"]
    return float(small if large is None else _in_large(row) * _LARGE)


def _average(row: Any) -> float:
    """Return the average, which lies between the extremes whatever the sum is."""
    if row["large"] is None:
        return float(row["sum"] / row["count"])
    return float(min(max(_in_large(row) / row["count"] * _LARGE, row["min"]), row["max"]))


def _in_large(row: Any) -> float:
    return float((row["sum"] or 0.0) / _LARGE + row["large"])


def _filled(function: str, column: Column, starts: Sequence[int], every: Sequence[int], fill: Fill) -> Column:
    """Give every bucket a value: an empty one counts 0 readings, and says null or what the one before it said."""
    known = dict(zip(starts, column, strict=True))
    if function == "count":
        return [known.get(start, 0) for start in every]
    if fill == "null":
        return [known.get(start) for start in every]
    found: list[Value | None] = []
    before: Value | None = None
    for start in every:
        before = known.get(start, before)
        found.append(before)
    return found
