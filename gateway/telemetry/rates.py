"""Rates: sums of the whole gateway, sample after sample → what they are now and over the last 15 minutes. Pure.

A sum counts since the gateway started; a rate is the difference of two of them by the time between. Bounded: the oldest
sample leaves when a new one comes.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

import msgspec

from gateway.telemetry.prometheus import LATENCY_BUCKETS

EVERY_SECS = 5
"""From one sample to the next."""
SAMPLES = 15 * 60 // EVERY_SECS
"""Points of the history."""
NOW_SAMPLES = 2
"""The rates of now are those of so many steps: of one alone they would jump about."""
MEDIAN, HIGH = 0.50, 0.99


class Backlog(msgspec.Struct, frozen=True):
    """What waits, in all workers together."""

    queue_rows: int = 0
    """Messages that wait for a COMMIT or are in one."""
    queue_bytes: int = 0
    spool_rows: int = 0
    """Messages that wait on disk."""
    spool_bytes: int = 0


class Sums(NamedTuple):
    """What all workers together have counted up to a moment."""

    at_ms: int
    """Of the wall clock, for people; a whole step, so that all workers' samples have the same times."""
    at_secs: float
    """Of a clock that never goes back, to divide by."""
    requests: int
    messages: int
    readings: int
    refused: int
    """Readings that were not stored: refused, conflicting, dead-lettered, or turned away."""
    latency: tuple[int, ...]
    """Bodies made durable, by how long it took: for each bound of LATENCY_BUCKETS those within it; last, all."""
    waiting: Backlog = Backlog()
    mqtt_connections: int = 0


class Rates(msgspec.Struct, frozen=True):
    """How much a second, and how long a body waited for its COMMIT; None where nothing was measured."""

    requests_per_s: float | None = None
    messages_per_s: float | None = None
    readings_per_s: float | None = None
    refused_per_s: float | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None


class RateSeries(msgspec.Struct, frozen=True):
    """The rates of the last 15 minutes as columns; `ts` is in epoch milliseconds, of the end of each step."""

    ts: list[int]
    requests_per_s: list[float | None]
    messages_per_s: list[float | None]
    readings_per_s: list[float | None]
    refused_per_s: list[float | None]
    p50_ms: list[float | None]
    p99_ms: list[float | None]


class RateHistory:
    """The samples of the last 15 minutes."""

    def __init__(self, *, samples: int = SAMPLES) -> None:
        self._sums: deque[Sums] = deque(maxlen=samples + 1)

    def add(self, sums: Sums) -> None:
        """Keep a sample. Where a counter went back another gateway has begun to count, and the past says nothing."""
        if self._sums and went_back(self._sums[-1], sums):
            self._sums.clear()
        self._sums.append(sums)

    @property
    def newest(self) -> Sums | None:
        """The sample that came last."""
        return self._sums[-1] if self._sums else None

    def without_mqtt_since_ms(self) -> int | None:
        """Return the wall clock of the first of the newest samples without a connection to the broker, if there is any.

        As far as the past goes: before it the broker may have been away, too.
        """
        since = None
        for sums in reversed(self._sums):
            if sums.mqtt_connections:
                break
            since = sums.at_ms
        return since

    def now(self) -> Rates:
        """Return the rates of the last steps."""
        sums = self._sums
        return between(sums[max(0, len(sums) - 1 - NOW_SAMPLES)], sums[-1]) if len(sums) > 1 else Rates()

    def series(self) -> RateSeries:
        """Return the rates of every step, oldest first."""
        steps = list(pairwise(self._sums))
        rates = [msgspec.structs.astuple(between(before, after)) for before, after in steps]
        columns = [list(column) for column in zip(*rates, strict=True)] or [[] for _ in Rates.__struct_fields__]
        return RateSeries([after.at_ms for _, after in steps], *columns)


def went_back(before: Sums, after: Sums) -> bool:
    """Whether the later sample cannot be the same gateway's."""
    counters = (before.requests, before.messages, before.readings, before.refused, *before.latency)
    later = (after.requests, after.messages, after.readings, after.refused, *after.latency)
    return after.at_secs <= before.at_secs or any(new < old for old, new in zip(counters, later, strict=True))


def between(before: Sums, after: Sums) -> Rates:
    """Return the rates from one sample to a later one."""
    secs = after.at_secs - before.at_secs
    took = [new - old for old, new in zip(before.latency, after.latency, strict=True)]
    return Rates(
        requests_per_s=_rate(before.requests, after.requests, secs),
        messages_per_s=_rate(before.messages, after.messages, secs),
        readings_per_s=_rate(before.readings, after.readings, secs),
        refused_per_s=_rate(before.refused, after.refused, secs),
        p50_ms=_ms(quantile(took, MEDIAN)),
        p99_ms=_ms(quantile(took, HIGH)),
    )


def quantile(within: Sequence[int], share: float, *, bounds: Iterable[float] = LATENCY_BUCKETS) -> float | None:
    """Return below which bound's unit this share of all lies, or None of nothing.

    `within` counts those up to each bound, and last all of them. Between two bounds they are taken to lie evenly, as
    Prometheus' histogram_quantile does; what lies beyond the last bound is said to be that bound.
    """
    total = within[-1]
    if not total:
        return None
    rank, low, below = share * total, 0.0, 0
    for bound, count in zip(bounds, within, strict=False):
        if count >= rank:
            return low + (bound - low) * (rank - below) / (count - below)
        low, below = bound, count
    return low


def _rate(before: int, after: int, secs: float) -> float:
    return round((after - before) / secs, 1)


def _ms(secs: float | None) -> float | None:
    return None if secs is None else round(secs * 1000, 2)
