"""The charts of a run: a report in, figures of HTML out: throughput, latencies by transport, errors by code. Pure."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter

from simulator.plan.lane import Transport
from simulator.report.page.charts import Series, Time, bars, lines
from simulator.report.page.scale import fitting, linear
from simulator.report.report import Report
from simulator.send.timeline import Buckets, Row, Timeline, merged, percentiles

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
        yield from _latency(f"Latency over {name.upper()}", [row.latencies for row in timeline.rows], _PERCENTILES, own)
        for what, seen_in in _SEEN:
            title = f"{what}, over {name.upper()}, by when it was due"
            yield from _latency(title, [seen_in(row) for row in timeline.rows], _SEEN_PERCENTILES, own)
    yield _errors(together.rows, time)


def _throughput(together: Timeline, timelines: Mapping[Transport, Timeline], time: Time) -> str:
    offered = [row.offered / together.width for row in together.rows]
    series = []
    for name, timeline in timelines.items():
        values = [row.acknowledged / timeline.width for row in timeline.rows]
        series.append(Series(name=f"acknowledged over {name.upper()}", colour=name, values=values, unit="/s"))
    series.append(Series(name="offered", colour="offered", values=offered, unit="/s"))
    highest = max(value or 0 for one in series for value in one.values)
    return lines("Readings a second", series, scale=linear(highest), time=time)


def _latency(title: str, rows: Sequence[Buckets], shown: Mapping[str, str], time: Time) -> Iterator[str]:
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


def _errors(rows: Sequence[Row], time: Time) -> str:
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
    highest = max(sum(row.errors.values()) for row in rows)
    return bars(
        f"Attempts that failed, by code, in {_stretch(time.width)}", series, scale=linear(highest, finest=1), time=time
    )


def _stretch(width: int) -> str:
    return "each second" if width == 1 else f"each {width} seconds"
