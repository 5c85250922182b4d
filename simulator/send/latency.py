"""Latencies: seconds in, percentiles in milliseconds out. Pure.

Three views of the same samples: an HDR histogram of the whole run (three digits), and the samples since the last look,
for the live line, and since the last second, for the timeline; percentiles of an HDR histogram are too slow to take
while a load is running.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from hdrh.histogram import HdrHistogram

_LOWEST_US, _HIGHEST_US = 1, 3_600_000_000
_DIGITS = 3
_US = 1_000_000
_AT_A_TIME = 4_096
"""Samples put into the histogram in one go: one alone costs thirty times as much, and this many half a millisecond."""
_MAX_RECENT = 200_000
_SHOWN = (50.0, 90.0, 99.0, 99.9)


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Milliseconds; all 0 if there was nothing to measure."""

    count: int = 0
    p50: float = 0.0
    p90: float = 0.0
    p99: float = 0.0
    p999: float = 0.0
    max: float = 0.0


class Latencies:
    """Latencies of one kind."""

    def __init__(self) -> None:
        self._histogram = HdrHistogram(_LOWEST_US, _HIGHEST_US, _DIGITS)
        self._waiting: list[float] = []
        self._recent: list[float] = []
        self._since: list[float] = []

    def record(self, seconds: float, *, recent: bool = True) -> None:
        """Take in one sample; without `recent` it is kept for neither `take_recent` nor `take_since`."""
        self._waiting.append(seconds)
        if len(self._waiting) >= _AT_A_TIME:
            self._put()
        if not recent:
            return
        if len(self._recent) < _MAX_RECENT:
            self._recent.append(seconds)
        if len(self._since) < _MAX_RECENT:
            self._since.append(seconds)

    def add(self, other: Self) -> None:
        """Take in the samples of another, but for its recent ones."""
        self._put()
        other._put()
        self._histogram.add(other._histogram)

    def encode(self) -> bytes:
        """Return the samples as HDR histograms are exchanged: compressed, in Base64."""
        self._put()
        return bytes(self._histogram.encode())

    @classmethod
    def decode(cls, text: bytes) -> Self:
        """Return what `encode` was given."""
        latencies = cls()
        latencies._histogram.decode_and_add(text)
        return latencies

    def take_recent(self) -> list[float]:
        """Return the samples since the last call, at most 200,000, in seconds."""
        recent, self._recent = self._recent, []
        return recent

    def take_since(self) -> list[float]:
        """Do the same, for somebody who looks at other times."""
        since, self._since = self._since, []
        return since

    def summary(self) -> Percentiles:
        """Return the percentiles of the whole run."""
        self._put()
        count = self._histogram.get_total_count()
        if not count:
            return Percentiles()
        p50, p90, p99, p999 = (self._histogram.get_value_at_percentile(p) / 1_000 for p in _SHOWN)
        return Percentiles(count, p50, p90, p99, p999, self._histogram.get_max_value() / 1_000)

    def _put(self) -> None:
        """Put what waits into the histogram, as its `record_value` does one by one."""
        if not self._waiting:
            return
        us = np.clip((np.array(self._waiting) * _US).astype(np.int64), _LOWEST_US, _HIGHEST_US)
        self._waiting.clear()
        histogram = self._histogram
        half = histogram.sub_bucket_half_count
        octaves = np.frexp(us | histogram.sub_bucket_mask)[1] - (histogram.sub_bucket_half_count_magnitude + 1)
        places, counts = np.unique(octaves * half + (us >> octaves), return_counts=True)
        for place, count in zip(places.tolist(), counts.tolist(), strict=True):
            histogram.counts[place] += count
        histogram.total_count += us.size
        histogram.min_value = min(histogram.min_value, int(us.min()))
        histogram.max_value = max(histogram.max_value, int(us.max()))


def recent_percentiles(samples: list[float]) -> tuple[float, float]:
    """Return p50 and p99 in milliseconds, 0 without samples."""
    if not samples:
        return 0.0, 0.0
    p50, p99 = np.percentile(np.array(samples) * 1_000, (50, 99))
    return float(p50), float(p99)
