"""Latencies: seconds in, percentiles in milliseconds out. Pure.

They are counted in buckets, 1,024 to an octave (0.07 % apart): counts add up over seconds, phases and processes, and
still have percentiles. A timeline counts in 16 to an octave, which is right to 2 % and short.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

_HIGHEST_S = 3_600.0
_US = 1_000_000
_FINE, _COARSE = 1_024, 16
_AT_A_TIME = 4_096
"""Samples counted in one go: one alone costs thirty times as much, and this many half a millisecond."""
_SHOWN = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p999": 99.9}

Buckets = dict[int, int]
"""Bucket of latency to count."""


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
        self._waiting: list[float] = []
        self._counts: Counter[int] = Counter()
        self._since: dict[str, Counter[int]] = {}

    def record(self, seconds: float) -> None:
        """Take in one sample."""
        self._waiting.append(seconds)
        if len(self._waiting) >= _AT_A_TIME:
            self._count()

    def _count(self) -> None:
        found = _bucketed(self._waiting, _FINE)
        for counts in (self._counts, *self._since.values()):
            counts.update(found)
        self._waiting.clear()

    @property
    def counts(self) -> Buckets:
        """All samples, in fine buckets; a copy."""
        self._count()
        return dict(self._counts)

    def since(self, who: str) -> Buckets:
        """Return the samples since the last time that `who` looked, in fine buckets."""
        self._count()
        found, self._since[who] = self._since.get(who, self._counts), Counter()
        return dict(found)


def summary(parts: Iterable[Buckets]) -> Percentiles:
    """Return the percentiles of samples in fine buckets, all together."""
    total: Counter[int] = Counter()
    for counts in parts:
        total.update(counts)
    return Percentiles(total.total(), *_ranked(total, (*_SHOWN.values(), 100.0), _FINE)) if total else Percentiles()


def buckets(seconds: Sequence[float]) -> Buckets:
    """Return samples as the row of a timeline holds them."""
    return _bucketed(seconds, _COARSE)


def coarse(fine: Buckets) -> Buckets:
    """Return fine buckets as the row of a timeline holds them."""
    found: Counter[int] = Counter()
    for bucket, count in fine.items():
        found[bucket * _COARSE // _FINE] += count
    return dict(found)


def percentiles(found: Buckets) -> dict[str, float]:
    """Return the percentiles of a timeline's row in ms, right to 2 %; none if nothing was measured."""
    return dict(zip(_SHOWN, _ranked(found, tuple(_SHOWN.values()), _COARSE), strict=True)) if found else {}


def _bucketed(seconds: Sequence[float], fineness: int) -> Buckets:
    """Return how many samples lie in each bucket; one below a microsecond, or above an hour, counts as that."""
    octaves = np.log2(np.clip(np.array(seconds, dtype=np.float64), 1 / _US, _HIGHEST_S) * _US)
    found, counts = np.unique((octaves * fineness).astype(np.int64), return_counts=True)
    return dict(zip(found.tolist(), counts.tolist(), strict=True))


def _ranked(found: Buckets, shares: Sequence[float], fineness: int) -> list[float]:
    """Return the middle of the bucket in which the sample of each rank is, in ms; ranks in per cent."""
    places = np.array(sorted(found))
    upto = np.cumsum([found[place] for place in places.tolist()])
    at = np.searchsorted(upto, upto[-1] * np.array(shares) / 100)
    middles: list[float] = (2 ** ((places[at] + 0.5) / fineness) / 1_000).tolist()
    return middles
