"""The command `simulator compare`: two report files in, a table and an exit code out. Writes nothing."""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from simulator.core.errors import UsageError
from simulator.report.compare import Comparison, Record, parse_tolerance, read, rows


def compare(before: Path, after: Path, /, *, tolerance: str = "10%") -> int:
    """Hold the reports of two runs side by side: rate, latency, errors, and what was lost.

    Latencies less than 1 ms apart are the same (50 ms until seen in the state, 10 ms in the live stream), and so are
    shares of errors less than 0.01 % apart; the highest latency is shown and not judged, it is a single post. What is
    lost, altered, left out or wrongly answered is judged without tolerance.

    Exit codes: 0 the second is as good; 1 it is worse beyond the tolerance; 2 they cannot be compared.

    Parameters
    ----------
    before
        A report of simulator run --json.
    after
        Another, that is to be as good.
    tolerance
        How much worse a rate, a percentile or the share of errors may be.
    """
    share = parse_tolerance(tolerance)
    a, b = _open(before), _open(after)
    found = rows(a, b)
    worse = [row.title for row in found if row.is_worse(share)]
    console = Console()
    console.print(_table(found, share), highlight=False)
    if a.plan.scenario.title != b.plan.scenario.title:
        told = f"· different scenarios: {a.plan.scenario.title}; {b.plan.scenario.title}"
        console.print(told, style="yellow", highlight=False, markup=False)
    if a.plan.target != b.plan.target:
        told = f"· different targets: {a.plan.target.title}; {b.plan.target.title}"
        console.print(told, style="yellow", highlight=False, markup=False)
    if worse:
        told = f"WORSE by more than {100 * share:g} %: {', '.join(worse)}"
        console.print(told, style="bold red", highlight=False, markup=False)
        return 1
    console.print(f"as good, within {100 * share:g} %", style="bold green", highlight=False)
    return 0


def _open(path: Path) -> Record:
    try:
        return read(path.read_bytes(), str(path))
    except OSError as error:
        raise UsageError(f"The report {path} cannot be read: {error}.") from error


def _table(found: list[Comparison], share: float) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("")
    for column in ("before", "after", "change"):
        table.add_column(column, justify="right")
    for row in found:
        style = "bold red" if row.is_worse(share) else None
        change = "" if row.change is None else f"{row.change:+.1f} %"
        table.add_row(row.title, _told(row.a, row.unit), _told(row.b, row.unit), change, style=style)
    return table


def _told(value: float | None, unit: str) -> str:
    if value is None:
        return "unknown"
    match unit:
        case "ms":
            return f"{value:,.1f} ms"
        case "%":
            return f"{value:.3g} %"
        case _:
            return f"{value:,.0f} {unit}".rstrip()
