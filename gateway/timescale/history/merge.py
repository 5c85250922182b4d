"""The merge of pairs. In: blocks of each. Out: their rows in one order: by time, device, age of the shape. No I/O.

Each pair is read ahead by itself. Rows come out up to the *horizon*: the nearest end of what was read of any pair that
has more. A metric that an older shape has for the same time is left out, and so is a row with nothing left.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gateway.domain.history import HistoryRow, Order, RowPosition, Span
from gateway.domain.model import Metric, Value
from gateway.timescale.chunks import Windows
from gateway.timescale.history.decode import HistoryBlock
from gateway.timescale.history.sources import Pair

CHUNK_ROWS = 200
"""Rows made at once: half a millisecond, so that nobody else on the event loop waits longer for it."""


WINDOW_US = 7 * 86_400_000_000
"""How far ahead a pair is looked for at once: the planner looks at every chunk of a hypertable that may be needed."""
WINDOW_GROWTH = 4
"""Where little is found the next look is so much longer: ten years without a reading are seven looks."""
LONGEST_WINDOW_US = 10_000 * 366 * 86_400_000_000
"""All the time there is."""


class Chunk(NamedTuple):
    """Rows that follow each other, and the pair of each."""

    rows: list[HistoryRow]
    pairs: list[Pair]

    def position(self, after: RowPosition | None) -> RowPosition:
        """Return where to go on behind the last row, if the first one came after `after`."""
        time_us, device_id = self.rows[-1].time_us, self.pairs[-1].device_id
        shapes = [
            pair.shape_id
            for row, pair in zip(self.rows, self.pairs, strict=True)
            if row.time_us == time_us and pair.device_id == device_id
        ]
        if after is not None and (after.time_us, after.device_id) == (time_us, device_id):
            shapes = after.shape_ids + shapes
        return RowPosition(time_us, device_id, shapes)


class _PairCursor:
    """One pair: what is still to be read of it, and what was read and has not come out."""

    def __init__(self, pair: Pair, rest: Span) -> None:
        self.pair = pair
        self.rest = rest
        self.done = rest.start_us >= rest.end_us
        self.window_us = WINDOW_US
        self.keys: NDArray[np.int64] = np.empty(0, np.int64)
        """Times that are left, negated when descending: always ascending."""
        self.block: HistoryBlock | None = None
        self.taken = 0

    @property
    def needs_block(self) -> bool:
        return not self.done and not len(self.keys)

    def window(self, sign: int) -> Span:
        """Return the next part of the rest that is to be read."""
        rest = self.rest
        if sign > 0:
            return rest._replace(end_us=min(rest.end_us, rest.start_us + self.window_us))
        return rest._replace(start_us=max(rest.start_us, rest.end_us - self.window_us))

    def next(self, sign: int, windows: Windows) -> Span:
        """Return what of that window may be read at once."""
        return windows.first(self.window(sign)) if sign > 0 else windows.last(self.window(sign))

    def feed(self, block: HistoryBlock, *, rows: int, sign: int, window: Span) -> None:
        self.block, self.taken, self.keys = block, 0, sign * block.times
        if len(block.times) == rows:
            last = int(block.times[-1])
            read = Span(window.start_us, last + 1) if sign > 0 else Span(last, window.end_us)
        else:
            read = window
            self.window_us = min(self.window_us * WINDOW_GROWTH, LONGEST_WINDOW_US)
        self.rest = Span(read.end_us, self.rest.end_us) if sign > 0 else Span(self.rest.start_us, read.start_us)
        self.done = self.rest.start_us >= self.rest.end_us

    def take(self, rows: int) -> tuple[Iterator[int], tuple[str, ...], Iterator[tuple[Value, ...]]]:
        """Give out the times, names and values of the next rows. Their keys stay until the caller drops them."""
        assert self.block is not None  # noqa: S101 -- whoever takes has seen keys
        part = slice(self.taken, self.taken + rows)
        self.taken += rows
        names, values = self.block.values(part)
        return iter(self.block.times[part].tolist()), names, iter(values)


class Merger:
    """Rows of many pairs, in order. Feed the missing blocks, take what comes out, and so on."""

    def __init__(self, pairs: Sequence[Pair], order: Order) -> None:
        self._sign = -1 if order.descending else 1
        ordered = sorted(pairs, key=lambda pair: (pair.device_id, pair.shape_id))
        self._cursors = [_PairCursor(pair, _rest(pair, order)) for pair in ordered]
        self._shadowed = {pair.device_id for pair in _shadowed_pairs(ordered)}
        self._instant: tuple[int, int] | None = None
        self._seen: set[Metric] = set()
        """Metrics that came out at this instant, of a device with shadowed ones."""
        if order.after is not None:
            self._see(order.after, ordered)

    @property
    def needs_blocks(self) -> bool:
        """Whether a pair must be fed before anything more comes out."""
        return any(cursor.needs_block for cursor in self._cursors)

    def missing(self, windows: Windows) -> list[tuple[Pair, Span]]:
        """Return the pairs that must be fed next, and what of them: each span is within one of the windows."""
        return [(cursor.pair, cursor.next(self._sign, windows)) for cursor in self._cursors if cursor.needs_block]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing left to tell, or to read."""
        return not any(len(cursor.keys) or not cursor.done for cursor in self._cursors)

    def feed(self, blocks: Sequence[HistoryBlock], spans: Sequence[Span], *, rows: int) -> None:
        """Take the missing blocks, in their order; one of fewer than `rows` messages is all of its span."""
        fed = [cursor for cursor in self._cursors if cursor.needs_block]
        for cursor, block, span in zip(fed, blocks, spans, strict=True):
            cursor.feed(block, rows=rows, sign=self._sign, window=span)

    def chunks(self) -> Iterator[Chunk]:
        """Yield what can come out now."""
        cursors = [cursor for cursor in self._cursors if len(cursor.keys)]
        ready = self._ready(cursors)
        if not sum(ready):
            return
        keys = np.concatenate([cursor.keys[:count] for cursor, count in zip(cursors, ready, strict=True)])
        which = np.repeat(np.arange(len(cursors)), ready)
        ordered = which[np.argsort(keys, kind="stable")] if len(cursors) > 1 else which
        for start in range(0, len(ordered), CHUNK_ROWS):
            yield self._chunk(cursors, ordered[start : start + CHUNK_ROWS])
        for cursor, count in zip(cursors, ready, strict=True):
            cursor.keys = cursor.keys[count:]

    def _ready(self, cursors: Sequence[_PairCursor]) -> list[int]:
        ends = [int(cursor.keys[-1]) for cursor in cursors if not cursor.done]
        if not ends:
            return [len(cursor.keys) for cursor in cursors]
        horizon = min(ends)
        return [int(np.searchsorted(cursor.keys, horizon, side="right")) for cursor in cursors]

    def _chunk(self, cursors: Sequence[_PairCursor], which: NDArray[np.intp]) -> Chunk:
        counts = np.bincount(which)
        parts = {at: cursors[at].take(int(counts[at])) for at in np.flatnonzero(counts).tolist()}
        chunk = Chunk([], [])
        for at in which.tolist():
            pair, (times, names, values) = cursors[at].pair, parts[at]
            row = HistoryRow(pair.device, next(times), dict(zip(names, next(values), strict=True)))
            if pair.device_id in self._shadowed:
                self._drop_seen(row, pair)
            if row.values:
                chunk.rows.append(row)
                chunk.pairs.append(pair)
        return chunk

    def _drop_seen(self, row: HistoryRow, pair: Pair) -> None:
        """Take from the row what came out of an older shape."""
        instant = (row.time_us, pair.device_id)
        if instant != self._instant:
            self._instant, self._seen = instant, set()
        for metric in pair.wanted:
            if metric in self._seen:
                del row.values[metric.name]
        self._seen.update(pair.wanted)

    def _see(self, after: RowPosition, pairs: Sequence[Pair]) -> None:
        self._instant = (after.time_us, after.device_id)
        for pair in pairs:
            if pair.device_id == after.device_id and pair.shape_id in after.shape_ids:
                self._seen.update(pair.wanted)


def _rest(pair: Pair, order: Order) -> Span:
    """Return what of a pair comes after the position."""
    span, after = order.span, order.after
    if after is None:
        return span
    passed = (pair.device_id, pair.shape_id) <= (after.device_id, after.shape_ids[-1])
    if order.descending:
        return Span(span.start_us, min(span.end_us, after.time_us + (not passed)))
    return Span(max(span.start_us, after.time_us + passed), span.end_us)


def _shadowed_pairs(ordered: Sequence[Pair]) -> list[Pair]:
    """Return pairs that hold a metric which an older shape of their device holds too."""
    found = []
    seen: set[tuple[int, Metric]] = set()
    for pair in ordered:
        mine = {(pair.device_id, metric) for metric in pair.wanted}
        if not seen.isdisjoint(mine):
            found.append(pair)
        seen |= mine
    return found
