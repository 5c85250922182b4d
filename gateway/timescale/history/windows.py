"""Windows of time. In: a statement about a span. Out: its rows, window by window, and those of one bucket joined.

A savepoint around each part gives its locks back at once, while all parts see the same snapshot.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from gateway.core.errors import BadRequest
from gateway.core.timestamps import to_datetime
from gateway.domain.history import Span
from gateway.timescale.connections.pool import Connection

MAX_PACKED = 5_000_000
"""Values that are sorted here for percentiles, 8 bytes each and as much again while they are."""

Row = Any
"""A record of the library, or a dict with the same keys."""


async def fetch_over(
    connection: Connection, statement: str, before: Sequence[object], windows: Sequence[Span], after: Sequence[object]
) -> list[Sequence[Row]]:
    """Return the rows of each window, whose start and end stand between the other arguments. Raises DATABASE_ERRORS.

    Within a transaction; several windows need one.
    """
    if len(windows) == 1:
        return [await connection.fetch(statement, *before, *_bounds(windows[0]), *after)]
    parts: list[Sequence[Row]] = []
    for window in windows:
        step = connection.transaction()
        await step.start()
        try:
            parts.append(await connection.fetch(statement, *before, *_bounds(window), *after))
        finally:
            await step.rollback()
    return parts


def join_buckets(parts: Sequence[Sequence[Row]]) -> Sequence[Row]:
    """Return one row for each series and bucket from the rows of windows, the oldest first."""
    if len(parts) == 1:
        return parts[0]
    found: dict[tuple[int, int], Row] = {}
    for row in (row for part in parts for row in part):
        key = row["series"], row["start_us"]
        found[key] = _joined(found[key], row) if key in found else row
    return list(found.values())


def join_percentiles(parts: Sequence[Sequence[Row]], fractions: Sequence[float]) -> list[Row]:
    """Return the percentiles of each series and bucket from rows of packed values, as `percentile_cont` has them."""
    packed: dict[tuple[int, int], list[bytes]] = {}
    for row in (row for part in parts for row in part):
        packed.setdefault((row["series"], row["start_us"]), []).append(row["packed"])
    return [
        {"series": series, "start_us": start_us, "percentiles": _percentiles(b"".join(values), fractions)}
        for (series, start_us), values in packed.items()
    ]


def check_packed(rows: Sequence[Row]) -> None:
    """Raise BadRequest if the buckets hold more values than are sorted here."""
    count = sum([row["count"] for row in rows])
    if count > MAX_PACKED:
        raise BadRequest(
            f"percentiles of buckets this long are computed of at most {MAX_PACKED} readings, here are {count}; ask for"
            " smaller buckets, for a shorter time, or for other functions",
            parameter="fn",
            limit=MAX_PACKED,
        )


def _bounds(window: Span) -> tuple[object, object]:
    return to_datetime(window.start_us), to_datetime(window.end_us)


def _joined(older: Row, newer: Row) -> Row:
    """Return what two parts of one bucket say together."""
    row = dict(older)
    row["count"] += newer["count"]
    row["last"] = newer["last"]
    if "large" in row:
        row["sum"], row["large"] = _added(row["sum"], newer["sum"]), _added(row["large"], newer["large"])
    elif "sum" in row:
        row["sum"] += newer["sum"]
        row["avg"] = float(row["sum"] / row["count"])
    if "min" in row:
        row["min"], row["max"] = min(row["min"], newer["min"]), max(row["max"], newer["max"])
    return row


def _added(older: float | None, newer: float | None) -> float | None:
    return newer if older is None else older if newer is None else older + newer


def _percentiles(packed: bytes, fractions: Sequence[float]) -> list[float]:
    values = np.sort(np.frombuffer(packed, ">f8").astype(np.float64))
    found = []
    for fraction in fractions:
        at = fraction * (len(values) - 1)
        low, high = float(values[int(at)]), float(values[min(int(at) + 1, len(values) - 1)])
        found.append(low + (at - int(at)) * (high - low))
    return found
