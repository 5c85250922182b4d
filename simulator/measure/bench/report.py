"""The report of a bench, for people and for programs: results in, tables, a Markdown section and JSON out. Pure."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Self, TypeVar

import orjson
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from simulator.measure.bench.processes import PARTS, Component
from simulator.measure.bench.results import CopyRound, LoadRound, Results, Spread

NOT_TOLD = "–"
_MILLION, _HUNDRED_THOUSAND, _TEN_THOUSAND, _HUNDRED = 1e6, 1e5, 1e4, 1e2
_MIB = 2**20
_BUSY = 0.9
"""Of a core: above it the generator may well be the limit."""
_MAX_FAULTS = 4
_OURS: tuple[Component, ...] = ("gateway", "database", "redis")
_BAR, _LONGEST_BAR = 5, 15
"""Characters: of the first step of a growth, and at most."""
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table: the first `words` columns hold words, the others figures."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    words: int = 1

    @classmethod
    def of(
        cls, title: str, columns: Sequence[tuple[str, Callable[[_T], str]]], items: Iterable[_T], *, words: int = 1
    ) -> Self:
        """Return a table with a row for each item; a column is its heading, and what it says of an item."""
        rows = [tuple(say(item) for _, say in columns) for item in items]
        return cls(title, tuple(heading for heading, _ in columns), rows, words)

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


class BenchReport:
    """The report of one bench, in all its forms."""

    def __init__(self, results: Results) -> None:
        self._results = results

    @property
    def exit_code(self) -> int:
        """1 if something acknowledged is not stored, 2 if a workload came to nothing, else 0."""
        if self._results.missing:
            return 1
        return 2 if self._results.failed or not self._results.loads else 0

    def to_screen(self) -> RenderableType:
        """Return the report for people: 100 columns."""
        results = self._results
        parts: list[RenderableType] = [Text(f"{results.machine}, {results.when}"), Text(results.ground)]
        for sheet in self.sheets():
            parts += [Text(), sheet.to_screen()]
        parts += [Text(), *(Text(f"· {note}", style="yellow") for note in self.notes())]
        return Group(*parts)

    def to_markdown(self) -> str:
        """Return the report as a section of a page."""
        results = self._results
        head = f"## {results.when}\n\n{results.machine}. {results.ground}.\n\n```bash\n{results.command}\n```\n"
        notes = "\n".join(f"- {note}" for note in self.notes())
        return "\n".join([head, *(sheet.to_markdown() for sheet in self.sheets()), notes]) + "\n"

    def to_json(self) -> bytes:
        """Return the report for programs: every round, and what the tables say."""
        results = self._results
        report = {
            name: getattr(results, name) for name in ("when", "machine", "ground", "command", "seconds", "rounds")
        }
        report["yardstick"] = [
            {"setup": rounds[0].setup, "readings_per_s": Spread.of(copy.rate for copy in rounds), "rounds": rounds}
            for rounds in results.by_setup()
        ]
        report["workloads"] = {rounds[0].workload: self._summary(rounds) for rounds in results.by_workload()}
        report |= {"notes": self.notes(), "exit_code": self.exit_code}
        return orjson.dumps(report, option=orjson.OPT_INDENT_2)

    def _summary(self, rounds: list[LoadRound]) -> dict[str, Any]:
        return {
            "title": rounds[0].kind.title,
            "readings_per_s": Spread.of(load.rate for load in rounds),
            "requests_per_s": Spread.of(load.answers / load.elapsed for load in rounds),
            "stored_per_s": Spread.of(load.stored / load.elapsed for load in rounds),
            "share_of_copy": self._results.share_of_copy(rounds[0].kind),
            "missing": sum(load.missing for load in rounds),
            "rounds": rounds,
        }

    def sheets(self) -> list[Sheet]:
        """Return the tables that have rows."""
        results = self._results
        copies, loads = results.by_setup(), results.by_workload()
        grown = "Growth (CPU seconds of gateway, database and Redis for a million readings)"
        headings = ("", "workload", "readings/s", "gateway", "database", "redis", "together", "× first", "")
        share = ("× COPY", lambda rounds: figure(results.share_of_copy(rounds[0].kind), 2))
        every = (
            Sheet.of("Yardstick: binary COPY of the same rows, without a gateway", _YARDSTICK, copies, words=0),
            Sheet.of(
                "Speed (closed loop: capacity, and the time an answer took at capacity)", [*_SPEED, share], loads,
                words=2,
            ),
            Sheet.of("Cost (CPU seconds for a million readings; stored is counted in the database)", _COST, loads),
            Sheet(grown, headings, _growth_rows(loads), words=2),
        )  # fmt: skip
        return [sheet for sheet in every if sheet.rows]

    def notes(self) -> list[str]:
        """Return what a reader of the figures has to know."""
        results = self._results
        found = [*results.remarks, *self._comparisons()]
        found += [f"{name}: nothing was acknowledged in a round" for name in results.failed]
        if results.missing:
            found.append(f"LOST: {results.missing:,} readings were acknowledged and are not in the database")
        for rounds in results.by_workload():
            found += _notes_on(rounds)
        return found

    def _comparisons(self) -> list[str]:
        results = self._results
        workloads = [rounds[0].kind for rounds in results.by_workload()]
        found = []
        if results.commits:
            p50, p99 = millis(one.p50 for one in results.commits), millis(one.p99 for one in results.commits)
            found.append(f"a COMMIT that writes next to nothing takes {p50} ms (p99 {p99} ms): mostly the disk's fsync")
        if results.of("W1h"):
            found.append("W1h: an open loop, its times count from when each request was due")
        for name, what in (("W6", "ingest beside 2,000 state reads/s"), ("W7", "duplicates")):
            share = results.share(name, "W3")
            if share is not None:
                found.append(f"{name}: {what}: {share:.0%} of W3")
        if any(workload.api == "mqtt" for workload in workloads):
            found.append("W4, W4b: calls/s are messages committed; the times are the broker's PUBACK, not the COMMIT")
        if any(not workload.ingests for workload in workloads):
            found.append("W5, W5k: readings/s are devices whose state was read, whatever number of metrics that holds")
        return found


def _notes_on(rounds: list[LoadRound]) -> list[str]:
    found, name = [], rounds[0].workload
    faults: Counter[str] = Counter()
    for load in rounds:
        faults.update(load.faults)
    if faults:
        most = ", ".join(f"{fault} {count:,}" for fault, count in faults.most_common(_MAX_FAULTS))
        found.append(f"{name}: answers that do not count: {most}")
    busy = max(load.generator_cpu / load.elapsed for load in rounds)
    if busy > _BUSY:
        found.append(f"{name}: the generator used {busy:.0%} of a core: it may be the limit")
    reads = [load.beside for load in rounds if load.beside is not None]
    if reads:
        rate = middle(read.rate for read in reads)
        p50, p99 = millis(read.times.p50 for read in reads), millis(read.times.p99 for read in reads)
        wrong = sum(sum(read.faults.values()) for read in reads)
        found.append(f"{name}: {rate} state reads/s, p50 {p50} ms, p99 {p99} ms, {wrong:,} failed or unsent")
    return found


def _copy_cost(copy: CopyRound) -> float | None:
    readings = copy.rows * copy.setup.width
    return None if copy.database_cpu is None or not readings else copy.database_cpu / readings * 1e6


def _part_cost(part: Component, rounds: list[LoadRound]) -> str:
    return middle((load.per_million(load.cpu[part]) for load in rounds if part in load.cpu), 2)


def _growth_rows(loads: Sequence[list[LoadRound]]) -> list[tuple[str, ...]]:
    """Each step of a growth beside the first one that was measured, with a bar as long as its cost."""
    first: dict[str, float] = {}
    rows = []
    for rounds in loads:
        workload, parts = rounds[0].kind, [_cost_of(rounds, part) for part in _OURS]
        if not workload.family or None in parts:
            continue
        together = sum(part or 0.0 for part in parts)
        times = together / first.setdefault(workload.family, together)
        rate = middle(load.rate for load in rounds)
        cells = [figure(cost, 2) for cost in (*parts, together, times)]
        rows.append((workload.name, workload.title, rate, *cells, "█" * min(_LONGEST_BAR, round(times * _BAR))))
    return rows


def _cost_of(rounds: list[LoadRound], part: Component) -> float | None:
    spread = Spread.of(cost for load in rounds if (cost := load.per_million(load.cpu.get(part, 0.0))) is not None)
    return None if spread is None or any(part not in load.cpu for load in rounds) else spread.median


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


_YARDSTICK: Sequence[tuple[str, Callable[[list[CopyRound]], str]]] = (
    ("width", lambda rounds: str(rounds[0].setup.width)),
    ("rows a\nCOMMIT", lambda rounds: f"{rounds[0].setup.rows:,}"),
    ("connec-\ntions", lambda rounds: str(rounds[0].setup.connections)),
    ("readings/s", lambda rounds: middle(copy.rate for copy in rounds)),
    ("range", lambda rounds: extent(Spread.of(copy.rate for copy in rounds))),
    ("client\ncores", lambda rounds: middle((copy.client_cpu / copy.elapsed for copy in rounds), 2)),
    ("database\nCPU s/M", lambda rounds: middle((_copy_cost(copy) for copy in rounds), 2)),
)
_SPEED: Sequence[tuple[str, Callable[[list[LoadRound]], str]]] = (
    ("", lambda rounds: rounds[0].workload),
    ("workload", lambda rounds: rounds[0].kind.title),
    ("readings/s", lambda rounds: middle(load.rate for load in rounds)),
    ("range", lambda rounds: extent(Spread.of(load.rate for load in rounds))),
    ("calls/s", lambda rounds: middle(load.answers / load.elapsed for load in rounds)),
    ("p50 ms", lambda rounds: millis(load.times.p50 for load in rounds)),
    ("p99 ms", lambda rounds: millis(load.times.p99 for load in rounds)),
    ("p99.9", lambda rounds: millis(load.times.p999 for load in rounds)),
)
_COST: Sequence[tuple[str, Callable[[list[LoadRound]], str]]] = (
    ("", lambda rounds: rounds[0].workload),
    ("stored/s", lambda rounds: middle(load.stored / load.elapsed for load in rounds if load.kind.ingests)),
    *((part, partial(_part_cost, part)) for part in PARTS),
    ("generator", lambda rounds: middle((load.per_million(load.generator_cpu) for load in rounds), 2)),
    ("generator\ncores", lambda rounds: middle((load.generator_cpu / load.elapsed for load in rounds), 2)),
    ("gateway\nMiB", lambda rounds: middle(load.resident / _MIB or None for load in rounds)),
    ("bytes a\nreading", lambda rounds: middle((x.grown / x.stored if x.stored else None for x in rounds), 1)),
)
