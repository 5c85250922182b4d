"""What a run came to: counts in, one report out, as a table that fits a screen, as JSON, as an exit code. Pure."""

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any, Self

import orjson
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from simulator.lane import Transport
from simulator.latency import Percentiles
from simulator.load import Load
from simulator.scenario import Scenario
from simulator.verify.findings import Findings
from simulator.verify.referee import Verdict

_BUSY_CPU = 0.9
_LATE_MS = 20.0
_MAX_CODES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneReport:
    """One transport. Counts are of readings, but for `errors` (attempts) and `faults` (answers)."""

    transport: Transport
    offered: int
    unsent: int
    sent: int
    acknowledged: int
    unacknowledged: int
    refused: int
    refused_by_code: dict[str, int]
    acknowledged_posts_by_durability: dict[str, int]
    errors: dict[str, int]
    faults: dict[str, int]
    latency: Percentiles
    lateness: Percentiles

    @classmethod
    def of(cls, load: Load) -> Self:
        """Read off a load that has come to its end."""
        ledger, lane = load.ledger, load.ledger.lane
        offered = load.pace.offered * lane.readings
        return cls(
            transport=lane.transport,
            offered=offered,
            unsent=offered - ledger.sent,
            sent=ledger.sent,
            acknowledged=ledger.acknowledged,
            unacknowledged=ledger.unacknowledged,
            refused=ledger.refused,
            refused_by_code=dict(ledger.codes),
            acknowledged_posts_by_durability=dict(ledger.durability),
            errors=dict(load.errors),
            faults=dict(ledger.faults),
            latency=load.latencies.summary(),
            lateness=load.lateness.summary(),
        )


class Report:
    """The whole of a run: `elapsed` in seconds, `cpu` in cores the generator itself used while sending."""

    def __init__(
        self,
        scenario: Scenario,
        *,
        elapsed: float,
        cpu: float,
        lanes: list[LaneReport],
        verdict: Verdict | None,
    ) -> None:
        self.scenario = scenario
        self.elapsed = elapsed
        self.cpu = cpu
        self.lanes = lanes
        self.verdict = verdict

    @property
    def failures(self) -> list[str]:
        """What is wrong, in words; empty if all is well."""
        found: list[str] = []
        if not any(lane.acknowledged for lane in self.lanes):
            found.append("nothing was acknowledged")
        if any(lane.faults for lane in self.lanes):
            found.append("answers that cannot be right")
        total = self.verdict.total if self.verdict else Findings()
        for name in ("lost", "duplicated", "wrong", "unexpected", "state_wrong"):
            count = getattr(total, name)
            found += [f"{count:,} {name.replace('_', ' ')}"] if count else []
        return found

    @property
    def exit_code(self) -> int:
        """0 if all is well, 1 if not, 2 if that could not be found out."""
        if self.failures:
            return 1
        return 2 if self.verdict is not None and self.verdict.unfinished else 0

    @property
    def notes(self) -> list[str]:
        """What a reader of the figures has to know."""
        found: list[str] = []
        late = max(lane.lateness.p99 for lane in self.lanes)
        if self.cpu > _BUSY_CPU or late > _LATE_MS:
            found.append(
                f"the generator itself was held back: {self.cpu:.0%} of a core, late by {late:.0f} ms (p99); "
                "its figures say little about the gateway"
            )
        for lane in self.lanes:
            for title, counts in (
                ("refused", lane.refused_by_code),
                ("tried again", lane.errors),
                ("faults", lane.faults),
            ):
                if counts:
                    found.append(f"{lane.transport} {title}: {_list(counts)}")
        if self.verdict is None:
            found.append("not verified")
            return found
        if not self.verdict.stored_checked:
            found.append("the database was not looked at: give it with --database")
        if self.verdict.states_unchecked:
            found.append(f"states were not checked: {self.verdict.states_unchecked}")
        return found

    def to_json(self) -> bytes:
        """Return the report for programs."""
        verdict: dict[str, Any] | None = None
        if self.verdict is not None:
            verdict = {**asdict(self.verdict), "total": asdict(self.verdict.total)}
        report = {
            "scenario": asdict(self.scenario),
            "elapsed_s": self.elapsed,
            "generator_cpu": self.cpu,
            "acknowledged_per_s": sum(lane.acknowledged for lane in self.lanes) / self.elapsed,
            "lanes": [asdict(lane) for lane in self.lanes],
            "verdict": verdict,
            "notes": self.notes,
            "failures": self.failures,
        }
        return orjson.dumps(report, option=orjson.OPT_INDENT_2)

    def to_screen(self) -> RenderableType:
        """Return the report for people: at most 80 columns and 24 lines while nothing is wrong."""
        parts: list[RenderableType] = [self._title(), self._table()]
        parts += [Text(f"· {note}", style="yellow", overflow="fold") for note in self.notes]
        problems = self.verdict.total.problems if self.verdict else []
        parts += [Text(f"  {p.trouble:<11} {p.device} {p.metric} {p.time}  {p.detail}", style="red") for p in problems]
        parts.append(self._last_line())
        return Group(*parts)

    def _title(self) -> Text:
        s = self.scenario
        what = f"{s.fleet.prefix}: {s.devices:,} devices, {len(s.kinds)} metrics, {s.shape}"
        return Text(f"{what}, {s.rate:,.0f} readings/s for {s.seconds:g} s", style="bold")

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column("readings")
        for column in (*(lane.transport for lane in self.lanes), "total"):
            table.add_column(column, justify="right")
        for name in ("offered", "unsent", "sent", "acknowledged", "unacknowledged", "refused"):
            _add_counts(table, name, [getattr(lane, name) for lane in self.lanes], bad=False)
        if self.verdict is not None:
            findings = [self.verdict.findings[lane.transport] for lane in self.lanes]
            self._add_findings(table, findings)
        per_s = [round(lane.acknowledged / self.elapsed) for lane in self.lanes]
        _add_counts(table, "acknowledged a second", per_s, bad=False)
        for name in ("p50", "p90", "p99", "p999", "max"):
            figures = [f"{getattr(lane.latency, name):,.1f}" for lane in self.lanes]
            table.add_row(f"latency {name}, ms", *figures, "")
        return table

    def _add_findings(self, table: Table, findings: list[Findings]) -> None:
        if self.verdict is not None and self.verdict.stored_checked:
            _add_counts(table, "stored", [f.stored for f in findings], bad=False)
            for name in ("lost", "duplicated", "wrong", "unexpected"):
                _add_counts(table, name, [getattr(f, name) for f in findings], bad=True)
        if self.verdict is not None and not self.verdict.states_unchecked:
            _add_counts(table, "series checked", [f.state_checked for f in findings], bad=False)
            _add_counts(table, "state wrong", [f.state_wrong for f in findings], bad=True)

    def _last_line(self) -> Text:
        if self.failures:
            return Text(f"FAILED: {', '.join(self.failures)}", style="bold red")
        if self.verdict is None:
            return Text("sent, not verified", style="bold yellow")
        if self.verdict.unfinished:
            return Text(f"NOT VERIFIED to the end: {self.verdict.unfinished}", style="bold red")
        if not self.verdict.stored_checked:
            return Text("no fault found, but the database was not looked at", style="bold yellow")
        proved = "every acknowledged reading is stored once and unaltered"
        if self.verdict.states_unchecked:
            return Text(f"{proved}; states unchecked", style="bold yellow")
        return Text(f"{proved}; states are right", style="bold green")


def _add_counts(table: Table, name: str, counts: list[int], *, bad: bool) -> None:
    style = "bold red" if bad and any(counts) else None
    table.add_row(name, *(f"{count:,}" for count in counts), f"{sum(counts):,}", style=style)


def _list(counts: dict[str, int]) -> str:
    most = Counter(counts).most_common(_MAX_CODES)
    more = ", …" if len(counts) > _MAX_CODES else ""
    return ", ".join(f"{code} {count:,}" for code, count in most) + more
