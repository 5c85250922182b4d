"""The reader of history. In: questions about stored readings. Out: rows, buckets and charts, in time order and bounded.

Rows are read in keyset pages (by time, device and shape), each in its own short statement: an export of any length
holds no snapshot that keeps vacuum from working, and no connection while its reader is slow. What arrives behind the
position while it runs is not seen; nothing is told twice, and nothing is left out that was there.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import NamedTuple

from gateway.core.errors import BadRequest, TooManyBuckets, UnknownDevice
from gateway.core.settings import HistorySettings
from gateway.domain.buckets import Cut, suggest_every
from gateway.domain.contracts.newest import ShapeBook
from gateway.domain.history import (
    TEXT_FUNCTIONS,
    HistoryRow,
    Order,
    RowPage,
    SeriesAnswer,
    SeriesName,
    SeriesQuery,
    Span,
)
from gateway.domain.model import Kind
from gateway.timescale.chunks import Calendar
from gateway.timescale.connections.pool import Connection, Pool
from gateway.timescale.history.buckets import read_buckets
from gateway.timescale.history.charts import ChartQuery, read_chart
from gateway.timescale.history.decode import HistoryBlock, read_blocks
from gateway.timescale.history.leases import Leases
from gateway.timescale.history.merge import Chunk, Merger
from gateway.timescale.history.sources import HistorySource, Sources, find_sources
from gateway.timescale.migrations import database_kind

BLOCK_VALUES = 100_000
"""Numbers read at once, over all pairs; 8 bytes each, and more as objects, of which few exist at a time."""
BLOCK_ROWS = 2_000
"""Messages of one pair read at once."""
MAX_CELLS = 500_000
"""Values of one answer of buckets or charts: series × times × functions."""


class _Series(NamedTuple):
    """The series that can be answered, and those that cannot."""

    places: Mapping[SeriesName, Sequence[HistorySource]]
    left_out: list[SeriesName]


class TimescaleHistory:
    """Reads what is stored, for a caller with a share. All methods raise what `Leases.connection` raises."""

    def __init__(self, pool: Pool, shapes: ShapeBook, settings: HistorySettings) -> None:
        self._leases = Leases(pool, settings)
        self._shapes = shapes
        self._timescale: bool | None = None
        self._calendar = Calendar()
        pool.lineage.on_change.append(self._forget)

    async def page(
        self, devices: Sequence[str], metrics: Collection[str] | None, *, order: Order, limit: int, caller: str = ""
    ) -> RowPage:
        """Return the first `limit` rows. Raises UnknownDevice."""
        found = Chunk([], [])
        async with aclosing(self._chunks(devices, metrics, order, rows=limit + 1, caller=caller)) as chunks:
            async for chunk in chunks:
                found.rows.extend(chunk.rows)
                found.pairs.extend(chunk.pairs)
                if len(found.rows) > limit:
                    break
        if len(found.rows) <= limit:
            return RowPage(found.rows, None)
        shown = Chunk(found.rows[:limit], found.pairs[:limit])
        return RowPage(shown.rows, shown.position(order.after))

    async def stream(
        self, devices: Sequence[str], metrics: Collection[str] | None, *, order: Order, caller: str = ""
    ) -> AsyncGenerator[list[HistoryRow], None]:
        """Yield all rows, a few at a time: a list may be empty. Raises UnknownDevice before the first."""
        async with aclosing(self._chunks(devices, metrics, order, rows=BLOCK_ROWS, caller=caller)) as chunks:
            async for chunk in chunks:
                yield chunk.rows

    async def buckets(
        self, devices: Sequence[str], metrics: Collection[str] | None, *, cut: Cut, wish: SeriesQuery, caller: str = ""
    ) -> SeriesAnswer:
        """Return series cut into buckets.

        Raises UnknownDevice, TooManyBuckets, and BadRequest for functions that a named metric does not have.
        """
        async with self._connection(caller) as connection:
            sources = await self._sources(connection, devices, metrics)
            series = _answerable(sources, metrics, wish)
            _check_cells(len(series.places) * len(wish.functions), cut)
            windows = (await self._calendar.windows(connection)).over(cut.span, cut.start_of)
            timescale = await self._is_timescale(connection)
            found = await read_buckets(connection, series.places, cut, wish=wish, timescale=timescale, windows=windows)
        return SeriesAnswer(found, series.left_out)

    async def chart(
        self, devices: Sequence[str], metrics: Collection[str] | None, *, span: Span, points: int, caller: str = ""
    ) -> SeriesAnswer:
        """Return series thinned to at most so many points each. Raises UnknownDevice, BadRequest: too many series."""
        async with self._connection(caller) as connection:
            sources = await self._sources(connection, devices, metrics)
            count = len(sources.series())
            if count * points > MAX_CELLS:
                raise BadRequest(
                    f"{count} series of {points} points are more than {MAX_CELLS} values; name fewer metrics or"
                    " devices, or ask for fewer points",
                    parameter="points",
                )
            windows = (await self._calendar.windows(connection)).over(span)
            chart = ChartQuery(span, points, await self._is_timescale(connection), windows)
            return SeriesAnswer(await read_chart(connection, sources, chart), [])

    async def _chunks(
        self, devices: Sequence[str], metrics: Collection[str] | None, order: Order, *, rows: int, caller: str
    ) -> AsyncGenerator[Chunk, None]:
        async with self._connection(caller) as connection:
            sources = await self._sources(connection, devices, metrics)
            merger = Merger(sources.pairs, order)
            await self._feed(connection, merger, order, rows=rows)
        while True:
            while merger.needs_blocks:
                async with self._connection(caller, patient=True) as connection:
                    await self._feed(connection, merger, order, rows=rows)
            if merger.is_empty:
                return
            for chunk in merger.chunks():
                yield chunk

    @asynccontextmanager
    async def _connection(self, caller: str, *, patient: bool = False) -> AsyncIterator[Connection]:
        with self._calendar.learning():
            async with self._leases.connection(caller, patient=patient) as connection:
                yield connection

    async def _feed(self, connection: Connection, merger: Merger, order: Order, *, rows: int) -> None:
        """Read what the merger needs: in one statement, unless it lies too far apart to be locked at once."""
        windows = await self._calendar.windows(connection)
        wanted = merger.missing(windows)
        if not wanted:
            return
        spans = [span for _, span in wanted]
        rows = max(2, min(rows, BLOCK_ROWS, BLOCK_VALUES // sum(pair.width for pair, _ in wanted)))
        found: dict[int, HistoryBlock] = {}
        for group in windows.together(spans):
            blocks = await read_blocks(connection, [wanted[at] for at in group], rows=rows, descending=order.descending)
            found |= zip(group, blocks, strict=True)
        merger.feed([found[at] for at in range(len(wanted))], spans, rows=rows)

    async def _sources(
        self, connection: Connection, devices: Sequence[str], metrics: Collection[str] | None
    ) -> Sources:
        sources = await find_sources(connection, self._shapes, devices, metrics=metrics)
        if sources.unknown:
            name = sources.unknown[0]
            raise UnknownDevice(f"device {name!r} is not known here; register it, or let it send readings", device=name)
        return sources

    def _forget(self) -> None:
        self._timescale = None

    async def _is_timescale(self, connection: Connection) -> bool:
        if self._timescale is None:
            self._timescale = (await database_kind(connection)).kind != "postgresql"
        return self._timescale


def _answerable(sources: Sources, metrics: Collection[str] | None, wish: SeriesQuery) -> _Series:
    """Leave out texts if asked for what texts cannot say. Raises BadRequest for a named metric of no other kind."""
    places = sources.series()
    wrong = [function for function in wish.functions if function not in TEXT_FUNCTIONS]
    left_out = [name for name in places if wrong and name.kind is Kind.TEXT]
    kept = {name: places[name] for name in places if name not in left_out}
    numeric = {name.metric for name in kept}
    for name in left_out:
        if metrics is not None and name.metric not in numeric:
            raise BadRequest(
                f"metric {name.metric!r} of device {name.device!r} is of kind text, which has no {', '.join(wrong)};"
                f" ask for {', '.join(TEXT_FUNCTIONS)}, or name other metrics",
                parameter="fn",
                metric=name.metric,
                kind=name.kind.value,
            )
    return _Series(kept, left_out)


def _check_cells(columns: int, cut: Cut) -> None:
    """Raise TooManyBuckets if the answer would hold more than MAX_CELLS values."""
    count = columns * cut.size
    if count > MAX_CELLS:
        raise TooManyBuckets(
            f"{cut.size} buckets of {columns} columns are more than {MAX_CELLS} values; ask for larger buckets, or"
            " name fewer metrics, devices or functions",
            suggested_every=suggest_every(cut.span, MAX_CELLS // columns),
            limit=MAX_CELLS,
        )
