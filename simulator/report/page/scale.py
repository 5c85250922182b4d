"""Where values lie on an axis, and which of them are written there: numbers in, numbers out. Pure."""

from dataclasses import dataclass
from math import ceil, floor, log10

_TICKS = 4
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_WIDE = 50.0
"""From this ratio of the highest to the lowest value on, an axis of percentiles is logarithmic."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """An axis from `low` to `high`, drawn over 1."""

    low: float
    high: float
    ticks: tuple[float, ...]
    is_log: bool = False

    def at(self, value: float) -> float:
        """Return where a value lies: 0 at the low end, 1 at the high one."""
        if self.is_log:
            inside = min(max(value, self.low), self.high)
            return (log10(inside) - log10(self.low)) / (log10(self.high) - log10(self.low))
        return (value - self.low) / (self.high - self.low)


def linear(highest: float, *, finest: float = 0.0) -> Scale:
    """Return an axis from 0 that holds `highest`, with round numbers on it, no closer than `finest`."""
    step = max(finest, _round_up(max(highest, 1e-9) / _TICKS))
    count = max(1, ceil(highest / step - 1e-9))
    return Scale(low=0.0, high=step * count, ticks=tuple(step * i for i in range(count + 1)))


def fitting(lowest: float, highest: float) -> Scale:
    """Return an axis for values above 0: logarithmic, in powers of ten, if they lie far apart."""
    if lowest <= 0 or highest / lowest < _WIDE:
        return linear(highest)
    first, last = floor(log10(lowest)), ceil(log10(highest))
    ticks = tuple(10.0**power for power in range(first, last + 1))
    return Scale(low=ticks[0], high=ticks[-1], ticks=ticks, is_log=True)


def _round_up(value: float) -> float:
    power = 10.0 ** floor(log10(value))
    return next(step * power for step in _STEPS if step * power >= value * (1 - 1e-9))
