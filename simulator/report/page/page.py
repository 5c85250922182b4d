"""The page: a report in, HTML out, its verdict first. Everything is escaped, nothing is loaded.

Reads its style, and nothing else. The page forbids itself scripts and every request (Content-Security-Policy), so it
may be opened from anywhere.
"""

from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files

from simulator.report.checks import Check, checks_of
from simulator.report.figures import errors_of
from simulator.report.page.charts import number
from simulator.report.page.pictures import pictures
from simulator.report.report import Report
from simulator.report.screen import last_line
from simulator.send.latency import Percentiles
from simulator.send.results import Visibility
from simulator.verify.findings import time_of

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def to_html(report: Report) -> bytes:
    """Return the page in UTF-8."""
    style = files("simulator.report.page").joinpath("style.css").read_text(encoding="utf-8")
    title = escape(report.plan.scenario.title)
    body = "".join(
        (
            f'<h1>{title}</h1><p class="what">{_what(report)}</p>',
            _verdict(report),
            _tiles(report),
            _notes(report.notes),
            f"<h2>Checks</h2>{_checks(checks_of(report))}",
            "<h2>How it went</h2>",
            *pictures(report),
            f"<h2>Latency, ms</h2>{_latencies(report)}",
            _refusals(report),
        )
    )
    page = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{style}</style></head><body><main>{body}</main></body></html>\n"
    )
    return page.encode("utf-8", errors="replace")


def _what(report: Report) -> str:
    plan, scenario = report.plan, report.plan.scenario
    fleets = ", ".join(f"{spec.devices:,} × {spec.title}" for spec in scenario.fleets)
    began = time_of(plan.began_ms * 1_000).replace("T", " ").split(".")[0]
    told = f"{plan.prefix} · {began} UTC · {fleets} · {scenario.rate:,.0f} readings/s for {scenario.duration:g} s"
    where = "" if plan.target.kind == "gateway" else f" · target {plan.target.title}"
    return escape(f"{told} · seed {scenario.seed}{where}")


def _verdict(report: Report) -> str:
    line = last_line(report)
    kind = "bad" if report.exit_code else "good" if "green" in str(line.style) else "open"
    sign = {"bad": "✗", "good": "✓", "open": "○"}[kind]
    return f'<p class="verdict {kind}">{sign} {escape(line.plain)}</p>'


def _tiles(report: Report) -> str:
    lanes = report.lanes
    acknowledged, errors = sum(lane.acknowledged for lane in lanes), errors_of(lanes)
    worst = max(lanes, key=lambda lane: lane.latency.p99).latency
    found = [
        (f"{acknowledged:,}", "readings acknowledged"),
        (f"{acknowledged / report.elapsed:,.0f} /s" if report.elapsed else "–", "acknowledged a second"),
        (f"{number(worst.p50)} ms", "latency, p50"),
        (f"{number(worst.p99)} ms", "latency, p99"),
        (f"{errors.percent:.3g} %", "attempts that failed"),
        (f"{report.verdict.total.lost:,}" if report.verdict and report.verdict.stored_checked else "–", "lost"),
    ]
    tiles = (f'<div class="tile"><b>{escape(value)}</b><span>{escape(name)}</span></div>' for value, name in found)
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _notes(notes: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(note)}</li>' for note in notes)}</ul>" if notes else ""


def _checks(checks: Sequence[Check]) -> str:
    rows = []
    for check in checks:
        kind, told = ("good", "passed") if check.is_good else ("bad", "FAILED")
        if check.is_good and check.left_out:
            kind, told = "open", "not checked"
        detail = escape(check.left_out if kind == "open" else check.told)
        if check.examples:
            lines = escape("\n".join(check.examples))
            detail += f"<details><summary>the first {len(check.examples)}</summary><pre>{lines}</pre></details>"
        rows.append(f'<tr><td>{escape(check.name)}</td><td class="{kind}">{told}</td><td>{detail}</td></tr>')
    return _table(("check", "", "found"), rows, numbers=False)


def _latencies(report: Report) -> str:
    rows, every = [], report.watch.state_every_ms
    for lane in report.lanes:
        over = lane.transport.upper()
        rows.append(_latency_row(f"{over}, from the intended time to the answer", lane.latency))
        if len(lane.latency_by_phase) > 1:
            rows += [_latency_row(f"{over}, {name}", one) for name, one in lane.latency_by_phase.items()]
        rows += _seen_rows(f"{over}, until the state shows it (asked every {every:g} ms)", lane.state)
        rows += _seen_rows(f"{over}, until the live stream shows it", lane.stream)
        rows.append(_latency_row(f"{over}, how late the generator was", lane.lateness))
    return _table(("", "posts", "p50", "p90", "p99", "p99.9", "max"), rows)


def _seen_rows(title: str, seen: Visibility | None) -> list[str]:
    """Return rows of watched devices; none if nobody watched."""
    if seen is None:
        return []
    by_phase = seen.by_phase.items() if len(seen.by_phase) > 1 else ()
    return [_latency_row(title, seen.latency), *(_latency_row(f"{title}, {name}", one) for name, one in by_phase)]


def _latency_row(title: str, found: Percentiles) -> str:
    values = (found.p50, found.p90, found.p99, found.p999, found.max)
    cells = "".join(f'<td class="n">{number(value) if found.count else "–"}</td>' for value in values)
    return f'<tr><td>{escape(title)}</td><td class="n">{found.count:,}</td>{cells}</tr>'


def _refusals(report: Report) -> str:
    """Return the table of refused readings by code, empty if there were none."""
    rows = []
    for lane in report.lanes:
        for code in sorted(lane.refused_by_code.keys() | lane.expected_refusals.keys()):
            expected, all_of_them = lane.expected_refusals.get(code, 0), lane.refused_by_code.get(code, 0)
            cells = f'<td class="n">{all_of_them:,}</td><td class="n">{expected:,}</td>'
            rows.append(f"<tr><td>{escape(code)}</td><td>{lane.transport.upper()}</td>{cells}</tr>")
    if not rows:
        return ""
    return f"<h2>Refused readings</h2>{_table(('code', 'over', 'refused', 'as they had to be'), rows, texts=2)}"


def _table(heads: Sequence[str], rows: Iterable[str], *, numbers: bool = True, texts: int = 1) -> str:
    """Return a table; the columns after the first `texts` hold numbers, unless there are none."""
    cells = (f"<th{' class=n' if numbers and at >= texts else ''}>{escape(head)}</th>" for at, head in enumerate(heads))
    return f'<div class="table"><table><tr>{"".join(cells)}</tr>{"".join(rows)}</table></div>'
