"""Buckets of history: a span, a width and a zone → where they start. Pure; the same on every database.

A width in s, m or h is that long, counted from 1970-01-01T00:00 on the zone's clock as it stands at the start of the
span: `6h` begins at local midnight. A width in d is calendar days, local midnight to local midnight, whatever their
length, counted from 1970-01-01. Whole weeks, in any unit, begin on Mondays (ISO 8601) and are counted from 1970-01-05.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from gateway.core.durations import DAY_US, SECOND_US, UNITS
from gateway.core.errors import TooManyBuckets
from gateway.core.timestamps import EPOCH, to_datetime, to_us
from gateway.domain.history import MAX_BUCKETS, Span

WEEK = 7
"""Days."""
MONDAY = 4
"""Days from 1970-01-01, a Thursday, to the first Monday."""
STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200)
"""Widths in seconds that are suggested; then days."""


class Cut(NamedTuple):
    """How a span is cut into buckets: `every_us` from `origin_us` on, or at `days`."""

    span: Span
    every_us: int
    origin_us: int
    """A start of some bucket; not used where there are `days`."""
    days: Sequence[int] | None = None
    """Starts of calendar buckets, ascending; the first is not after the span's start."""

    @property
    def size(self) -> int:
        """Buckets that hold a part of the span."""
        if self.days is not None:
            return len(self.days)
        return max(0, -(-(self.span.end_us - self._first) // self.every_us))

    def starts(self) -> list[int]:
        """Return where they start."""
        if self.days is not None:
            return list(self.days)
        return list(range(self._first, self.span.end_us, self.every_us))

    def start_of(self, time_us: int) -> int:
        """Return where the bucket of a time within the span starts."""
        if self.days is not None:
            return self.days[max(0, bisect_right(self.days, time_us) - 1)]
        return time_us - (time_us - self.origin_us) % self.every_us

    @property
    def _first(self) -> int:
        return self.span.start_us - (self.span.start_us - self.origin_us) % self.every_us


def suggest_every(span: Span, most: int) -> str:
    """Return the least usual width of which at most `most` buckets (at least two) cover the span, such as `15m`."""
    needed_us = (span.end_us - span.start_us) / max(1, most - 1)  # the ends may be cut
    for seconds in STEPS:
        if seconds * SECOND_US >= needed_us:
            return _written(seconds)
    return f"{max(1, -(-int(needed_us) // DAY_US))}d"


def _written(seconds: int) -> str:
    for unit, size in (("h", 3600), ("m", 60)):
        if seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def to_cut(span: Span, *, count: int, unit: str, zone: ZoneInfo) -> Cut:
    """Cut a span into buckets of `count` seconds, minutes, hours or days (`unit` is s, m, h or d).

    Raises TooManyBuckets for more than MAX_BUCKETS.
    """
    every_us = count * UNITS[unit] * SECOND_US
    offset = to_datetime(span.start_us).astimezone(zone).utcoffset() or timedelta()
    since_us = 0 if every_us % (WEEK * DAY_US) else MONDAY * DAY_US
    cut = Cut(span, every_us, since_us - offset // timedelta(microseconds=1))
    if cut.size > MAX_BUCKETS:
        raise TooManyBuckets(
            f"the time asked for holds {cut.size} buckets of {count}{unit}, and at most {MAX_BUCKETS} are answered; ask"
            " for larger buckets, or for a shorter time",
            suggested_every=suggest_every(span, MAX_BUCKETS),
            buckets=cut.size,
            limit=MAX_BUCKETS,
        )
    return cut._replace(days=list(_days(span, count, zone))) if unit == "d" else cut


def _days(span: Span, count: int, zone: ZoneInfo) -> Iterator[int]:
    """Yield the starts of the calendar buckets that hold a part of the span."""
    first = to_datetime(span.start_us).astimezone(zone).date().toordinal()
    first -= (first - EPOCH.toordinal() - (0 if count % WEEK else MONDAY)) % count
    before_us: int | None = None
    for ordinal in range(first, date.max.toordinal() + 1, count):
        start_us = _midnight(ordinal, zone)
        if before_us is not None and start_us >= span.end_us:
            return
        if start_us != before_us:  # a zone that moved over the date line has left a day out
            yield start_us
        before_us = start_us


def _midnight(ordinal: int, zone: ZoneInfo) -> int:
    """Return when a day begins; where the clock jumps over midnight, that is the jump."""
    local = datetime.combine(date.fromordinal(ordinal), time(), zone)
    return to_us(local.astimezone(UTC))
