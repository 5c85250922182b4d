"""The report as one page: a report in, HTML out, its verdict first. Everything is escaped, nothing is loaded.

Reads its style, and nothing else. The page forbids itself scripts and every request (Content-Security-Policy), so it
may be opened from anywhere.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from importlib.resources import files
from operator import attrgetter

from simulator.core.times import time_of
from simulator.plan.fleet import Transport
from simulator.report.charts import Series, Time, bars, fitting, linear, lines, number
from simulator.report.checks import Check, checks_of
from simulator.report.figures import errors_of
from simulator.report.report import Report
from simulator.report.screen import last_line
from simulator.send.latency import Buckets, Percentiles, percentiles
from simulator.send.results import Visibility
from simulator.send.timeline import Row, Timeline, merged

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def to_html(report: Report) -> bytes:
    """Return the page in UTF-8."""
    style = files("simulator.report").joinpath("style.css").read_text(encoding="utf-8")
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


_PERCENTILES = {"p50": "p50", "p90": "p90", "p99": "p99", "p999": "p99.9"}
_SEEN_PERCENTILES = {name: told for name, told in _PERCENTILES.items() if name != "p999"}
"""Of the few devices that are watched, a second has too few messages for more."""
_SEEN = (
    ("Until the state shows it", attrgetter("state")),
    ("Until the live stream shows it", attrgetter("stream")),
)
_SHOWN_CODES = 5


def pictures(report: Report) -> Iterator[str]:
    """Yield the figures; none if nothing was recorded."""
    timelines = {name: timeline for name, timeline in report.timelines.items() if timeline.rows}
    if not timelines:
        return
    together = merged([{"http": timeline} for timeline in timelines.values()])["http"]
    phases = [(phase.name, phase.seconds) for phase in report.plan.scenario.timeline]
    time = Time(rows=len(together.rows), width=together.width, phases=phases)
    yield _throughput(together, timelines, time)
    for name, timeline in timelines.items():
        own = Time(rows=len(timeline.rows), width=timeline.width, phases=phases)
        yield from _latency_chart(
            f"Latency over {name.upper()}", [row.latencies for row in timeline.rows], _PERCENTILES, own
        )
        for what, seen_in in _SEEN:
            title = f"{what}, over {name.upper()}, by when it was due"
            yield from _latency_chart(title, [seen_in(row) for row in timeline.rows], _SEEN_PERCENTILES, own)
    yield _errors_chart(together.rows, time)


def _throughput(together: Timeline, timelines: Mapping[Transport, Timeline], time: Time) -> str:
    offered = [row.offered / together.width for row in together.rows]
    series = []
    for name, timeline in timelines.items():
        values = [row.acknowledged / timeline.width for row in timeline.rows]
        series.append(Series(name=f"acknowledged over {name.upper()}", colour=name, values=values, unit="/s"))
    series.append(Series(name="offered", colour="offered", values=offered, unit="/s"))
    highest = max(value or 0 for one in series for value in one.values)
    return lines("Readings a second", series, scale=linear(highest), time=time)


def _latency_chart(title: str, rows: Sequence[Buckets], shown: Mapping[str, str], time: Time) -> Iterator[str]:
    """Yield the chart of these percentiles, row by row; nothing if nothing was measured."""
    told = [percentiles(row) for row in rows]
    known = [one[key] for one in told if one for key in shown]
    if not known:
        return
    series = [
        Series(name=name, colour=key, values=[one.get(key) for one in told], unit=" ms") for key, name in shown.items()
    ]
    scale = fitting(min(known), max(known))
    powers = ", in powers of ten" if scale.is_log else ""
    yield lines(f"{title}, ms{powers}", series, scale=scale, time=time)


def _errors_chart(rows: Sequence[Row], time: Time) -> str:
    total: Counter[str] = Counter()
    for row in rows:
        total.update(row.errors)
    if not total:
        return '<p class="calm">No attempt failed, and no answer was wrong.</p>'
    codes = [code for code, _ in total.most_common(_SHOWN_CODES)]
    series = [
        Series(name=code, colour=f"e{at}", values=[row.errors.get(code, 0) for row in rows])
        for at, code in enumerate(codes)
    ]
    if len(total) > len(codes):
        rest = [sum(count for code, count in row.errors.items() if code not in codes) for row in rows]
        series.append(Series(name="others", colour=f"e{_SHOWN_CODES}", values=rest))
    stretch = "each second" if time.width == 1 else f"each {time.width} seconds"
    highest = max(sum(row.errors.values()) for row in rows)
    return bars(f"Attempts that failed, by code, in {stretch}", series, scale=linear(highest, finest=1), time=time)
