"""In: messages. Out: what history must say of them, in plain Python, and a place to ask the real one. Knows no SQL."""

from bisect import bisect_right
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from math import floor
from typing import NamedTuple

from gateway.core.settings import HistorySettings
from gateway.domain.buckets import Cut
from gateway.domain.history import HistoryRow, Order, SeriesName, Span
from gateway.domain.model import Kind, Metric, Value
from gateway.timescale.connections.pool import Pool, open_pool
from gateway.timescale.history.reader import TimescaleHistory
from tests.builders.batches import KINDS, NOON, SECOND, Message
from tests.integration.writing import SOON, Gateway, open_gateway

SETTINGS = HistorySettings(pool=2, wait_secs=SOON, timeout_secs=SOON)
MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86_400 * SECOND


def span(start: int, end: int) -> Span:
    """Of microseconds after NOON."""
    return Span(NOON + start, NOON + end)


def row(device: str, after: int, /, **values: Value) -> HistoryRow:
    """A row, as a test writes it down."""
    return HistoryRow(device, NOON + after, values)


class Known(NamedTuple):
    """What a test stored, and how the database numbered it."""

    messages: Sequence[Message]
    devices: Mapping[str, int]
    shapes: Mapping[frozenset[Metric], int]

    def rows(self, devices: Collection[str], metrics: Collection[str] | None, within: Span) -> Iterator[HistoryRow]:
        """Yield rows by time, device and shape; of several shapes the oldest tells a metric."""
        told: set[tuple[str, int, Metric]] = set()
        for device, after, values in sorted(self.messages, key=self._order):
            time_us = NOON + after
            if device not in devices or not within.start_us <= time_us < within.end_us:
                continue
            mine = {name: value for name, value in values.items() if metrics is None or name in metrics}
            fresh = {n: v for n, v in mine.items() if (device, time_us, Metric(n, KINDS[type(v)])) not in told}
            told |= {(device, time_us, Metric(name, KINDS[type(value)])) for name, value in fresh.items()}
            if fresh:
                yield HistoryRow(device, time_us, fresh)

    def readings(
        self, devices: Collection[str], metrics: Collection[str] | None, within: Span
    ) -> dict[SeriesName, list[tuple[int, Value]]]:
        """Return times and values of each series."""
        found: dict[SeriesName, list[tuple[int, Value]]] = {}
        for device, time_us, values in self.rows(devices, metrics, within):
            for name, value in values.items():
                found.setdefault(SeriesName(device, name, KINDS[type(value)]), []).append((time_us, value))
        return found

    def _order(self, message: Message) -> tuple[int, int, int]:
        device, after, values = message
        return after, self.devices[device], self.shapes[to_key(values)]


def to_key(values: Mapping[str, Value]) -> frozenset[Metric]:
    """Return the set of metrics of a message."""
    return frozenset(Metric(name, KINDS[type(value)]) for name, value in values.items())


def say(function: str, kind: Kind, readings: Sequence[tuple[int, Value]]) -> Value:
    """Return what a bucket of these readings says, oldest first."""
    values = [value for _, value in readings]
    if function in ("first", "last"):
        return values[0 if function == "first" else -1]
    if function == "count":
        return len(values)
    numbers = sorted(int(v) if kind is Kind.INT else float(v) for v in values)
    if function in ("min", "max"):
        return numbers[0 if function == "min" else -1]
    if function == "sum":
        return sum(numbers)
    if function == "avg":
        return float(sum(numbers) / len(numbers))
    return _percentile(numbers, {"p50": 0.5, "p95": 0.95}[function])


def _percentile(numbers: Sequence[float], share: float) -> float:
    """Interpolate between neighbours, as percentile_cont does."""
    at = share * (len(numbers) - 1)
    low = floor(at)
    high = min(low + 1, len(numbers) - 1)
    return float(numbers[low] + (at - low) * (numbers[high] - numbers[low]))


def in_buckets(readings: Sequence[tuple[int, Value]], cut: Cut) -> dict[int, list[tuple[int, Value]]]:
    """Return the readings of each bucket that has any, by its start."""
    starts = cut.starts()
    found: dict[int, list[tuple[int, Value]]] = {}
    for time_us, value in readings:
        found.setdefault(starts[bisect_right(starts, time_us) - 1], []).append((time_us, value))
    return found


class Past(NamedTuple):
    """A writer, and history read from the same database."""

    gateway: Gateway
    history: TimescaleHistory
    pool: Pool
    """Of history alone."""

    async def store(self, *messages: tuple[str, int, Mapping[str, Value]]) -> None:
        """Store messages; those of a shape not met before make it newer than all others."""
        await self.gateway.write([(device, after, dict(values)) for device, after, values in messages])

    def known(self, messages: Sequence[Message]) -> Known:
        """Return the model of these messages, which were stored."""
        dictionary = self.gateway.dictionary
        shapes = {frozenset(shape.metrics): number for shape, number in dictionary._ids.items()}
        return Known(messages, dict(dictionary.devices), shapes)

    async def rows(self, *devices: str, within: Span, limit: int = 1000, down: bool = False) -> list[HistoryRow]:
        """Return the first page."""
        page = await self.history.page(devices, None, order=Order(within, down), limit=limit)
        return page.rows


@asynccontextmanager
async def open_past(url: str, settings: HistorySettings = SETTINGS) -> AsyncIterator[Past]:
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(open_gateway(url))
        pool = await stack.enter_async_context(
            open_pool(url, name="test", size=settings.pool, connect_timeout=SOON, command_timeout=SOON)
        )
        yield Past(gateway, TimescaleHistory(pool, gateway.dictionary, settings), pool)
