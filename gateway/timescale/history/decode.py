"""Blocks of messages. In: pairs and where to go on. Out: their columns: one round trip, no object per message.

The database packs each column of a block into one value: times as int8, arrays as `array_send` writes them (a header of
20 bytes, then 4 bytes of length before each element; PostgreSQL's arrayfuncs.c). All are big-endian.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gateway.core.timestamps import to_datetime
from gateway.domain.history import Span
from gateway.domain.model import Kind, Value
from gateway.timescale.connections.pool import Connection
from gateway.timescale.history.sources import Pair, Slice
from gateway.timescale.queries import query
from gateway.timescale.write.copy_format import POSTGRES_EPOCH_US

_ARRAY_HEADER = 20


class HistoryBlock(NamedTuple):
    """Messages of one pair, in the order asked for. Only wanted columns are in it."""

    pair: Pair
    times: NDArray[np.int64]
    """Microseconds since 1970 UTC."""
    doubles: NDArray[np.float64]
    """n × wanted doubles."""
    ints: NDArray[np.int64]
    texts: Sequence[Sequence[str]]
    """n × wanted texts; empty where none is wanted."""

    def values(self, rows: slice) -> tuple[tuple[str, ...], list[tuple[Value, ...]]]:
        """Return the names of the metrics, and for each of the rows its values in that order."""
        pair = self.pair
        columns: list[Sequence[Value]] = []
        names: list[str] = []
        for column, position in enumerate(pair.doubles):
            metric = pair.shape.doubles[position]
            values = self.doubles[rows, column]
            columns.append((values != 0).tolist() if metric.kind is Kind.BOOL else values.tolist())
            names.append(metric.name)
        for column, position in enumerate(pair.ints):
            columns.append(self.ints[rows, column].tolist())
            names.append(pair.shape.ints[position].name)
        for column, position in enumerate(pair.texts):
            columns.append([row[column] for row in self.texts[rows]])
            names.append(pair.shape.texts[position].name)
        return tuple(names), list(zip(*columns, strict=True))


async def read_blocks(
    connection: Connection, spans: Sequence[tuple[Pair, Span]], *, rows: int, descending: bool = False
) -> list[HistoryBlock]:
    """Return for each pair its first `rows` messages in the span, by time or its reverse. Raises DATABASE_ERRORS."""
    parts = [(*pair.slices, pair, span) for pair, span in spans]
    found = await connection.fetch(
        query("history_rows", direction="desc" if descending else "asc"),
        [pair.device_id for pair, _ in spans],
        [pair.shape_id for pair, _ in spans],
        [to_datetime(span.start_us) for _, span in spans],
        [to_datetime(span.end_us) for _, span in spans],
        [doubles.first for doubles, *_ in parts],
        [doubles.last for doubles, *_ in parts],
        [ints.first for _, ints, *_ in parts],
        [ints.last for _, ints, *_ in parts],
        rows,
        any(pair.texts for pair, _ in spans),
        to_datetime(min(span.start_us for _, span in spans)),
        to_datetime(max(span.end_us for _, span in spans)),
    )
    return [_to_block(spans[row["n"] - 1][0], row) for row in sorted(found, key=lambda row: int(row["n"]))]


def _to_block(pair: Pair, row: Any) -> HistoryBlock:
    times = np.frombuffer(row["times"] or b"", ">i8").astype(np.int64) + POSTGRES_EPOCH_US
    doubles, ints = pair.slices
    return HistoryBlock(
        pair,
        times,
        _matrix(row["doubles"], ">f8", len(times), pair.doubles, doubles),
        _matrix(row["ints"], ">i8", len(times), pair.ints, ints),
        [[texts[position] for position in pair.texts] for texts in row["texts"] or ()] if pair.texts else (),
    )


def _matrix(packed: bytes | None, kind: str, rows: int, wanted: Sequence[int], part: Slice) -> NDArray[Any]:
    """Unpack arrays of one length and keep the wanted columns of them."""
    if not wanted or not rows or packed is None:
        return np.empty((rows, len(wanted)), kind[1:])
    width = part.last - part.first + 1
    array = np.dtype([("header", f"V{_ARRAY_HEADER}"), ("elements", [("size", ">i4"), ("value", kind)], (width,))])
    values = np.frombuffer(packed, array)["elements"]["value"]
    return values[:, [position + 1 - part.first for position in wanted]].astype(kind[1:])
