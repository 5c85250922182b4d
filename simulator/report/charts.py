"""Charts over time: series in, SVG out, that takes its colours from the page's style. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
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


WIDTH, HEIGHT = 880, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 12, 22, 26
_PLOT_W, _PLOT_H = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM
_MARKS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1_800, 3_600, 7_200, 14_400, 43_200, 86_400)
_MAX_MARKS = 9
_WHOLE = 100.0
"""Numbers from here on are written without decimals."""
_FEW = 120
"""So many seconds, or minutes, are written as such."""
_NARROW = 70.0
"""Pixels that the name of a phase needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One line, or one layer of bars: a value for each row, None where there was none. `colour` is a class."""

    name: str
    colour: str
    values: Sequence[float | None]
    unit: str = ""

    def told(self, row: int) -> str:
        """Say what it was in a row; empty if there was nothing."""
        value = self.values[row] if row < len(self.values) else None
        return "" if value is None else f"{self.name} {number(value)}{self.unit}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Time:
    """The horizontal axis: `rows` of `width` seconds, and the phases as (name, seconds)."""

    rows: int
    width: int
    phases: Sequence[tuple[str, float]] = ()

    @property
    def seconds(self) -> float:
        """The whole of it."""
        return max(1, self.rows * self.width)

    def x(self, second: float) -> float:
        """Return where a second lies, in pixels."""
        return _LEFT + _PLOT_W * min(second, self.seconds) / self.seconds

    def middle(self, row: int) -> float:
        """Return where the middle of a row lies."""
        return self.x((row + 0.5) * self.width)


def lines(title: str, series: Sequence[Series], *, scale: Scale, time: Time) -> str:
    """Return a chart with a line for each series, the first on top, broken where it has no value."""
    drawn = (f'<path class="line {one.colour}" d="{_path(one.values, scale, time)}"/>' for one in reversed(series))
    return _chart(title, series, "".join(drawn), scale=scale, time=time)


def bars(title: str, series: Sequence[Series], *, scale: Scale, time: Time) -> str:
    """Return a chart with a bar for each row, the series one upon the other."""
    return _chart(title, series, "".join(_bars(series, scale, time)), scale=scale, time=time)


def number(value: float) -> str:
    """Return a number as people read it: 12,345 or 3.14."""
    return f"{value:,.0f}" if value >= _WHOLE or value == int(value) else f"{value:.3g}"


def _chart(title: str, series: Sequence[Series], drawn: str, *, scale: Scale, time: Time) -> str:
    legend = "".join(f'<span><i class="{one.colour}"></i>{escape(one.name)}</span>' for one in series)
    inside = "".join((*_phases(time), *_grid(scale), *_marks(time), drawn, *_hits(series, time)))
    return (
        f'<figure><figcaption><b>{escape(title)}</b><span class="legend">{legend}</span></figcaption>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">{inside}</svg></figure>'
    )


def _y(value: float, scale: Scale) -> float:
    return _TOP + _PLOT_H * (1 - scale.at(value))


def _path(values: Sequence[float | None], scale: Scale, time: Time) -> str:
    """Return the pieces of a line; a value alone is a dot, as the line's ends are round."""
    found, is_drawing = [], False
    for row, value in enumerate(values):
        if value is not None:
            x, y = time.middle(row), _y(value, scale)
            found.append(f"L{x:.1f} {y:.1f}" if is_drawing else f"M{x:.1f} {y:.1f}h.01")
        is_drawing = value is not None
    return "".join(found)


def _bars(series: Sequence[Series], scale: Scale, time: Time) -> Iterator[str]:
    width = max(0.8, _PLOT_W / max(1, time.rows) - 1)
    for row in range(time.rows):
        base = 0.0
        for one in series:
            value = one.values[row] or 0.0
            if value:
                top, bottom = _y(base + value, scale), _y(base, scale)
                x = time.middle(row) - width / 2
                yield (
                    f'<rect class="bar {one.colour}" x="{x:.1f}" y="{top:.1f}" width="{width:.1f}" '
                    f'height="{bottom - top:.1f}"/>'
                )
            base += value


def _grid(scale: Scale) -> Iterator[str]:
    for tick in scale.ticks:
        y = _y(tick, scale)
        yield f'<path class="grid" d="M{_LEFT} {y:.1f}H{WIDTH - _RIGHT}"/>'
        yield f'<text class="y" x="{_LEFT - 8}" y="{y + 4:.1f}">{number(tick)}</text>'


def _marks(time: Time) -> Iterator[str]:
    step = next((mark for mark in _MARKS if time.seconds / mark <= _MAX_MARKS), _MARKS[-1])
    for second in range(0, int(time.seconds) + 1, step):
        yield f'<text class="x" x="{time.x(second):.1f}" y="{HEIGHT - 8}">{_duration(second)}</text>'


def _phases(time: Time) -> Iterator[str]:
    """Yield a stripe for every other phase, and the names of those that have room for one."""
    begin = 0.0
    for at, (name, seconds) in enumerate(time.phases if len(time.phases) > 1 else ()):
        x, end = time.x(begin), time.x(begin + seconds)
        if at % 2 == 0:
            yield f'<rect class="phase" x="{x:.1f}" y="{_TOP}" width="{end - x:.1f}" height="{_PLOT_H}"/>'
        if end - x >= _NARROW:
            yield f'<text class="name" x="{(x + end) / 2:.1f}" y="{_TOP - 8}">{escape(name)}</text>'
        begin += seconds


def _hits(series: Sequence[Series], time: Time) -> Iterator[str]:
    """Yield what shows the values of a row under the pointer."""
    width = _PLOT_W / max(1, time.rows)
    for row in range(time.rows):
        told = [f"{row * time.width} s", *(one.told(row) for one in series)]
        text = escape("\n".join(line for line in told if line))
        x = time.x(row * time.width)
        yield (
            f'<rect class="hit" x="{x:.1f}" y="{_TOP}" width="{width:.1f}" height="{_PLOT_H}">'
            f"<title>{text}</title></rect>"
        )


def _duration(seconds: int) -> str:
    if seconds < _FEW * 60:
        return f"{seconds} s"
    minutes, rest = divmod(seconds, 60)
    if minutes < _FEW:
        return f"{minutes} min" + (f" {rest} s" if rest else "")
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h" + (f" {minutes} min" if minutes else "")
