"""The report for people: a report in, what rich prints out; 80 columns and 24 lines while nothing is wrong. Pure."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from simulator.core.times import time_of
from simulator.plan.requirements import RequirementResult
from simulator.report.report import MISSED, Report
from simulator.send.loads.script import WrongAnswer
from simulator.send.results import Visibility
from simulator.verify.findings import Findings
from simulator.verify.referee import Verdict


def to_screen(report: Report) -> RenderableType:
    """Return the whole of it."""
    parts: list[RenderableType] = [_title(report), _table(report)]
    parts += [Text(f"· {note}", style="yellow", overflow="fold") for note in report.notes]
    problems = report.verdict.total.problems if report.verdict else []
    parts += [Text(f"  {p.trouble:<12} {p.device} {p.metric} {p.time}  {p.detail}", style="red") for p in problems]
    parts += [_wrong(example) for example in report.score.examples]
    parts += [Text(f"  {line}", style="red") for line in (report.verdict.letters.examples if report.verdict else ())]
    parts += [_outcome(outcome) for outcome in report.outcomes]
    parts.append(last_line(report))
    return Group(*parts)


def _title(report: Report) -> Text:
    plan, scenario = report.plan, report.plan.scenario
    fleets = ", ".join(f"{spec.devices:,} {spec.title}" for spec in scenario.fleets)
    what = f"{plan.prefix}: {fleets}; {scenario.rate:,.0f} readings/s for {scenario.duration:g} s"
    if plan.target.kind != "gateway":
        what = f"{plan.target.title}: {what}"
    return Text(what, style="bold", overflow="ellipsis", no_wrap=True)


def _table(report: Report) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("readings")
    for column in (*(lane.transport for lane in report.lanes), "total"):
        table.add_column(column, justify="right")
    for name in ("offered", "unsent", "sent", "acknowledged", "unacknowledged"):
        counts = [getattr(lane, name) for lane in report.lanes]
        if any(counts) or not name.startswith("un"):
            _add_counts(table, name, counts, bad=False)
    if report.elapsed:
        refusals = [sum(lane.expected_refusals.values()) for lane in report.lanes]
        _add_counts(table, "expected refusals", refusals, bad=False)
        wrong = [sum(lane.wrong_answers.values()) for lane in report.lanes]
        _add_counts(table, "wrong answers", wrong, bad=True)
    _add_findings(table, report)
    if report.elapsed:
        per_s = [round(lane.acknowledged / report.elapsed) for lane in report.lanes]
        _add_counts(table, "acknowledged a second", per_s, bad=False)
        for title, first, second in (("p50 … p99", "p50", "p99"), ("p99.9 … max", "p999", "max")):
            spans = [f"{getattr(x.latency, first):,.1f} … {getattr(x.latency, second):,.1f}" for x in report.lanes]
            table.add_row(f"latency {title}, ms", *spans, "")
    _add_seen(table, "in the state", [lane.state for lane in report.lanes], f"each {report.watch.state_every_ms:g} ms")
    _add_seen(table, "in the stream", [lane.stream for lane in report.lanes], "")
    return table


def _add_seen(table: Table, where: str, seen: Sequence[Visibility | None], every: str) -> None:
    """Add how long it took until messages were seen; `every` is how often one looked, in ms."""
    if any(seen):
        spans = [f"{one.latency.p50:,.1f} … {one.latency.p99:,.1f}" if one else "" for one in seen]
        table.add_row(f"{where} p50 … p99, ms", *spans, every)


def _add_findings(table: Table, report: Report) -> None:
    verdict = report.verdict
    if verdict is None:
        return
    findings = [verdict.findings.get(lane.transport, Findings()) for lane in report.lanes]
    if verdict.stored_checked:
        _add_counts(table, "stored", [f.stored for f in findings], bad=False)
        for name in ("lost", "duplicated", "wrong"):
            if name != "duplicated" or verdict.twins_shown:
                _add_counts(table, name, [getattr(f, name) for f in findings], bad=True)
        _add_trouble(table, "unexpected", [f.unexpected for f in findings])
    if not verdict.states_unchecked:
        _add_counts(table, "series checked", [f.state_checked for f in findings], bad=False)
        _add_counts(table, "state wrong", [f.state_wrong for f in findings], bad=True)
    if not verdict.stream_unchecked:
        _add_counts(table, "stream gaps", [f.stream_gaps for f in findings], bad=True)
        _add_trouble(table, "stream wrong", [f.stream_wrong for f in findings])


def _wrong(answer: WrongAnswer) -> Text:
    what = "a post without a fault" if answer.fault == "none" else answer.fault
    where = f"{answer.device} {time_of(answer.time_us)}"
    return Text(f"  wrong answer {where}  {what}: {answer.got}, should be {answer.expected}", style="red")


def _outcome(outcome: RequirementResult) -> Text:
    met, style = ("met", "green") if outcome.is_met else ("NOT met", "bold red")
    return Text(f"required {outcome.requirement}: {met}, {outcome.told}", style=style)


def last_line(report: Report) -> Text:
    """Return the verdict in a line."""
    if report.failures:
        return Text(f"FAILED: {', '.join(report.failures)}", style="bold red")
    if report.verdict is not None and report.verdict.unfinished:
        return Text(f"NOT VERIFIED to the end: {report.verdict.unfinished}", style="bold red")
    if report.exit_code == MISSED:
        return Text(f"REQUIREMENT NOT MET: {', '.join(report.missed)}", style="bold red")
    if report.is_empty:
        return Text(f"NOT RUN: {report.interruption}", style="bold red")
    proved = _proved(report.verdict)
    return Text(f"{report.interruption}; {proved}", style="bold yellow") if report.is_interrupted else proved


def _proved(verdict: Verdict | None) -> Text:
    """Say how far a run in which nothing is wrong was proved."""
    if verdict is None:
        return Text("sent, not verified", style="bold yellow")
    if not verdict.stored_checked:
        return Text("no fault found, but what is stored was not looked at", style="bold yellow")
    stored = "stored once and unaltered" if verdict.twins_shown else "stored and unaltered"
    proved = f"every acknowledged reading is {stored}"
    if verdict.states_unchecked:
        return Text(f"{proved}; states unchecked", style="bold yellow")
    return Text(f"{proved}; states are right", style="bold green")


def _add_counts(table: Table, name: str, counts: Sequence[int], *, bad: bool) -> None:
    style = "bold red" if bad and any(counts) else None
    table.add_row(name, *(f"{count:,}" for count in counts), f"{sum(counts):,}", style=style)


def _add_trouble(table: Table, name: str, counts: Sequence[int]) -> None:
    """Add what hardly ever happens, only if it did: the table is to fit a screen."""
    if any(counts):
        _add_counts(table, name, counts, bad=True)
