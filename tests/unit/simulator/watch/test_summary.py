"""What reports say of what was seen: percentiles beside those of the answers, gaps, and what nobody watched."""

import io
import json
from typing import Any

import pytest
from rich.console import Console

from simulator.plan.requirements import parse
from simulator.report.checks import to_junit
from simulator.report.compare import read, rows
from simulator.report.figures import figures_of
from simulator.report.page import to_html
from simulator.report.report import Report
from simulator.report.screen import to_screen
from simulator.send.results import PartResult, Seen, WorkerResult
from simulator.send.timeline import Row, Timeline
from simulator.verify.findings import Findings, Problem
from simulator.verify.referee import Verdict
from simulator.watch.judging import Collected, Judgement
from simulator.watch.summary import Watch, tell_timelines
from tests.unit.simulator.cases import plan
from tests.unit.simulator.report.test_report import latencies, result

GAP = Problem("stream gap", "d7", "humidity", 0, "acknowledged 1.0, never shown")


def seen(*seconds: float, unseen: int = 0) -> Seen:
    """Return what was seen in the one phase of a run."""
    found = latencies(*seconds)
    return Seen(latencies=found, phases=[found], unseen=unseen, examples=["d9 1970-01-01T00:00:00.000+00:00"] * unseen)


def over(transport: str, *, state: Seen | None, stream: Seen | None) -> WorkerResult:
    return result(transport=transport, state=state, stream=stream, phases=[latencies(0.1)])


def report(*results: WorkerResult, findings: Findings | None = None, require: str = "", **watch: Any) -> Report:
    verdict = Verdict({"http": findings or Findings(stored=100)}, stored_checked=True, stream_unchecked="")
    return Report(plan(), results, verdict=verdict, requirements=parse(require), watch=Watch(**watch))


def shown(one: Report) -> str:
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(to_screen(one))
    return console.export_text()


def test_each_transport_has_its_own_percentiles_and_together_the_worse_count() -> None:
    one = report(
        over("http", state=seen(0.05, 0.2), stream=seen(0.01)), over("mqtt", state=seen(0.4), stream=None),
        require="p99_state<0.5s,p99_state_http<0.1s,max_stream<20ms,p50_stream_mqtt<1s,stream_gaps=0",
    )  # fmt: skip
    assert [outcome.is_met for outcome in one.outcomes] == [True, False, True, False, True]
    assert "cannot be told: nothing was measured" in one.outcomes[3].told
    figures = figures_of(one.lanes, elapsed=1.0, wrong_answers=0, verdict=one.verdict)
    assert figures["max_state"].value == pytest.approx(400, rel=0.01)
    assert figures["max_state_http"].value == pytest.approx(200, rel=0.01)
    lanes = {lane["transport"]: lane for lane in json.loads(one.to_json())["lanes"]}
    assert lanes["http"]["state"]["by_phase"]["all"]["count"] == 2
    assert lanes["mqtt"]["stream"] is None


def test_parts_of_several_processes_add_up() -> None:
    one = report(over("http", state=seen(0.1, unseen=1), stream=None), over("http", state=seen(0.3), stream=None))
    (lane,) = one.lanes
    assert lane.state is not None
    assert (lane.state.latency.count, lane.state.unseen, len(lane.state.examples)) == (2, 1, 1)


def test_they_stand_beside_the_answers_on_the_screen_and_on_the_page() -> None:
    one = report(over("http", state=seen(0.05), stream=seen(0.01)), devices=3)
    lines = [line.split() for line in shown(one).splitlines()]
    assert ["in", "the", "state", "p50", "…", "p99,", "ms", "50.0", "…", "50.0", "each", "50", "ms"] in lines
    assert ["in", "the", "stream", "p50", "…", "p99,", "ms", "10.0", "…", "10.0"] in lines
    assert ["stream", "gaps", "0", "0"] in lines
    page = to_html(one).decode()
    assert "HTTP, until the state shows it (asked every 50 ms)" in page
    assert "HTTP, until the live stream shows it" in page
    assert "in the state" not in shown(report(over("http", state=None, stream=None)))


def collected(*seen_ms: tuple[float, float]) -> Collected:
    """Messages as (due, in seconds from the start; until seen, in ms)."""
    found = Collected(1)
    for due, ms in seen_ms:
        found.record(ms / 1_000, due=due, phase=0)
    return found


def test_they_have_a_row_for_each_second_in_which_a_message_was_due_and_charts() -> None:
    one = over("http", state=seen(0.05), stream=seen(0.01))
    one.timelines = {"http": Timeline(rows=[Row(offered=10, latencies={100: 1}), Row(offered=10)])}
    found = Judgement(state={0: collected((0.2, 40), (0.9, 60), (2.5, 80))}, stream={0: collected((1.0, 10))})
    tell_timelines(plan(), [one], found, Watch(devices=3))
    report_of_it = report(one, devices=3)
    rows = json.loads(report_of_it.to_json())["series"]["http"]["rows"]
    assert [sorted(row["state_ms"]) for row in rows] == [
        ["p50", "p90", "p99", "p999"],
        [],
        ["p50", "p90", "p99", "p999"],
    ]
    assert [row["state_ms"].get("p99") for row in rows] == [
        pytest.approx(60, rel=0.05),
        None,
        pytest.approx(80, rel=0.05),
    ]
    assert [row["stream_ms"].get("p50") for row in rows] == [None, pytest.approx(10, rel=0.05), None]
    assert [row["offered"] for row in rows] == [10, 10, 0]
    page = to_html(report_of_it).decode()
    titles = [page.index(f"<b>{title}") for title in (
        "Latency over HTTP, ms", "Until the state shows it, over HTTP, by when it was due, ms",
        "Until the live stream shows it, over HTTP, by when it was due, ms",
    )]  # fmt: skip
    assert titles == sorted(titles)


def test_what_was_not_watched_has_no_rows_and_no_chart() -> None:
    one = over("http", state=None, stream=None)
    one.timelines = {"http": Timeline(rows=[Row(latencies={100: 1})])}
    found = Judgement(state={0: collected((0.2, 40))}, stream={0: collected((0.2, 40))})
    tell_timelines(plan(), [one], found, Watch(state_unwatched="why", stream_unwatched="why"))
    assert one.timelines["http"].rows == [Row(latencies={100: 1})]
    assert "Until the" not in to_html(report(one)).decode()


def test_a_watch_that_was_killed_says_until_when_it_watched_and_names_what_it_did_not() -> None:
    verdict = Verdict({"http": Findings(stored=100)}, stored_checked=True, stream_unchecked="")
    part = PartResult(title="t", transport="http", counts=result().parts[0].counts, state=seen(0.05), phases=[])
    watch = Watch(devices=3, broke_off_s=7.25, unwatched=2, unwatched_examples=("d7 1970", "d8 1970"))
    told = Report(plan(), [WorkerResult(parts=[part])], verdict=verdict, watch=watch)
    assert any(
        "the watch broke off 7.2 s after the start: 2 messages" in note and "d7 1970" in note for note in told.notes
    )
    assert "in the state p50 … p99, ms" in shown(told)
    assert json.loads(told.to_json())["watch"]["unwatched_examples"] == ["d7 1970", "d8 1970"]
    assert any("not kept beside the ledger to the end: full" in note for note in report(
        over("http", state=None, stream=None), devices=3, unkept="full").notes)  # fmt: skip


def test_a_gap_is_exit_1_and_is_named_everywhere() -> None:
    findings = Findings(stored=100, stream_checked=9, stream_gaps=1, problems=[GAP])
    one = report(over("http", state=seen(0.05), stream=seen(0.01)), findings=findings)
    assert (one.failures, one.exit_code) == (["1 stream gaps"], 1)
    for text in (shown(one), to_html(one).decode(), to_junit(one).decode()):
        assert "d7 humidity 1970-01-01T00:00:00.000+00:00" in text


def test_what_was_not_seen_and_what_was_not_watched_is_said() -> None:
    one = report(
        over("http", state=seen(9.0, unseen=1), stream=None), devices=3, stream_unwatched="it was lost before the end",
        stream_resets={"start": 1, "lost": 2}, stream_skipped=7,
    )  # fmt: skip
    notes = "\n".join(one.notes)
    assert "1 messages over http were not seen in the state until the end, d9 1970" in notes
    assert "the live stream began anew: lost 2" in notes
    assert "the live stream left out 7 values" in notes
    assert "the live stream was not watched: it was lost before the end" in notes
    assert one.exit_code == 0
    verdict = Verdict({"http": Findings(stored=100)}, stored_checked=True)
    told_later = Report(plan(), [WorkerResult(parts=result().parts)], verdict=verdict)
    assert "the live stream was not watched: only a run can watch it, while it sends" in told_later.notes
    neither = report(over("http", state=None, stream=None), state_unwatched="why", stream_unwatched="why")
    assert "neither the state nor the live stream was watched: why" in neither.notes


def test_two_runs_are_compared_in_what_was_seen_and_in_gaps() -> None:
    fast = report(over("http", state=seen(0.05), stream=seen(0.01)))
    slow = report(over("http", state=seen(0.3), stream=seen(0.015)), findings=Findings(stored=100, stream_gaps=1))
    found = rows(read(fast.to_json(), "a"), read(slow.to_json(), "b"))
    worse = [row.title for row in found if row.is_worse(0.1)]
    percentiles = [f"http until in state {name}" for name in ("p50", "p90", "p99", "p99.9")]
    assert worse == [*percentiles, "stream gaps"], "5 ms in the stream are nothing"
    unwatched = report(over("http", state=None, stream=None))
    found = rows(read(fast.to_json(), "a"), read(unwatched.to_json(), "b"))
    assert [row.b for row in found if "until in" in row.title] == [None] * 10
    assert not [row.title for row in rows(read(unwatched.to_json(), "a"), read(unwatched.to_json(), "b"))
                if "until in" in row.title]  # fmt: skip


def test_a_report_of_before_can_still_be_compared() -> None:
    old = json.loads(report(over("http", state=None, stream=None)).to_json())
    for lane in old["lanes"]:
        del lane["state"], lane["stream"]
    del (
        old["verdict"]["stream_unchecked"],
        old["verdict"]["total"]["stream_gaps"],
        old["verdict"]["total"]["stream_wrong"],
    )
    record = read(json.dumps(old).encode(), "old")
    new = read(report(over("http", state=seen(0.1), stream=None)).to_json(), "new")
    gaps = next(row for row in rows(record, new) if row.title == "stream gaps")
    assert (gaps.a, gaps.b) == (None, 0)
