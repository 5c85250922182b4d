"""Figures as text: numbers in, cells out, and tables of cells for the screen or a Markdown page. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from rich.table import Table

from simulator.measure.bench.results import Spread

NOT_TOLD = "–"
_MILLION, _HUNDRED_THOUSAND, _TEN_THOUSAND, _HUNDRED = 1e6, 1e5, 1e4, 1e2


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table: the first `words` columns hold words, the others figures."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    words: int = 1

    def to_screen(self) -> Table:
        """Return it for a terminal."""
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), title=self.title, title_justify="left")
        for i, column in enumerate(self.columns):
            table.add_column(column, justify="left" if i < self.words else "right", no_wrap=True, vertical="bottom")
        for row in self.rows:
            table.add_row(*row)
        return table

    def to_markdown(self) -> str:
        """Return it for a page."""
        rules = ["---" if i < self.words else "--:" for i in range(len(self.columns))]
        heads = tuple(column.replace("-\n", "").replace("\n", " ") for column in self.columns)
        lines = [f"| {' | '.join(cells)} |" for cells in (heads, rules, *self.rows)]
        return f"**{self.title}**\n\n" + "\n".join(lines) + "\n"


def figure(value: float | None, digits: int = 0) -> str:
    """`12345.6` → `12,346`."""
    return NOT_TOLD if value is None else f"{value:,.{digits}f}"


def millis(values: Iterable[float]) -> str:
    """Return the median of milliseconds: `12.3`, `1,234`."""
    spread = Spread.of(values)
    return NOT_TOLD if spread is None else figure(spread.median, 1 if spread.median < _HUNDRED else 0)


def short(value: float) -> str:
    """Return three digits or so: `9,876`, `98.8k`, `988k`, `1.23M`."""
    if value >= _MILLION:
        return f"{value / 1e6:.2f}M"
    if value >= _HUNDRED_THOUSAND:
        return f"{value / 1e3:.0f}k"
    return f"{value / 1e3:.1f}k" if value >= _TEN_THOUSAND else f"{value:,.0f}"


def extent(spread: Spread | None) -> str:
    """Return the lowest and the highest value."""
    return NOT_TOLD if spread is None else f"{short(spread.low)}–{short(spread.high)}"


def middle(values: Iterable[float | None], digits: int = 0) -> str:
    """Return the median of the values that are there."""
    spread = Spread.of(value for value in values if value is not None)
    return NOT_TOLD if spread is None else figure(spread.median, digits)
