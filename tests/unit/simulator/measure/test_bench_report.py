"""Figures of rounds → medians, ranges, tables that fit, JSON, exit codes."""

import io
import json
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from simulator.cli.bench import shown_command
from simulator.measure.bench.report import BenchReport, Sheet, extent, figure, middle, millis, short
from simulator.measure.bench.results import CopyRound, LoadRound, Reads, Results, Spread
from simulator.measure.bench.workloads import WORKLOADS, Setup, setups
from simulator.send.latency import Percentiles


def times(p50: float, p99: float, p999: float) -> Percentiles:
    return Percentiles(p50=p50, p99=p99, p999=p999)


def load(name: str, acked: int, **changes: Any) -> LoadRound:
    plain = LoadRound(
        workload=name,
        elapsed=2.0,
        acked=acked,
        answers=acked // max(1, WORKLOADS[name].items),
        stored=0 if WORKLOADS[name].repeats or not WORKLOADS[name].ingests else acked,
        grown=20 * acked,
        times=times(1_234.5, 12_345.6, 12_345.6),
        cpu={"gateway": 1.5, "database": 123.4},
        generator_cpu=0.5,
        resident=300 * 2**20,
        faults={},
    )
    return replace(plain, **changes)


def copied(setup: Setup, rows: int, *, database_cpu: float | None = 1.0) -> CopyRound:
    return CopyRound(setup=setup, rows=rows, elapsed=2.0, client_cpu=0.2, database_cpu=database_cpu)


def results(*loads: LoadRound, copies: tuple[CopyRound, ...] = ()) -> Results:
    return Results(
        when="2026-11-22T12:00+00:00",
        machine="a machine",
        ground="PostgreSQL 17, TimescaleDB 2.19",
        command="simulator bench",
        seconds=2,
        rounds=3,
        copies=list(copies),
        loads=list(loads),
    )


def printed(report: BenchReport) -> str:
    out = io.StringIO()
    Console(file=out, width=100).print(report.to_screen(), markup=False)
    return out.getvalue()


def test_the_median_and_the_range_of_all_rounds() -> None:
    loads = [load("W3", acked) for acked in (2_000_000, 600_000, 1_000_000)]
    (speed, costs) = BenchReport(results(*loads)).sheets()
    assert speed.rows[0][2:5] == ("500,000", "300k–1.00M", "500")
    assert costs.rows[0] == ("W3", "500,000", "1.50", "123.40", "–", "–", "0.50", "0.25", "300", "20.0")


def test_the_ratio_is_to_the_best_copy_of_rows_as_wide() -> None:
    wide, narrow = Setup(10, 1_000, 1, 5_000, 1), Setup(1, 1_000, 10, 5_000, 1)
    best = replace(wide, connections=2)
    copies = (
        copied(wide, 100_000),
        copied(best, 150_000),
        copied(best, 400_000),
        copied(best, 200_000),
        copied(narrow, 10_000_000),
    )
    found = results(load("W3", 1_000_000), load("W3f", 2_000_000), load("W7", 1_000_000), copies=copies)
    share = {rounds[0].workload: found.share_of_copy(rounds[0].kind) for rounds in found.by_workload()}
    assert share == {"W3": pytest.approx(0.5), "W3f": pytest.approx(0.2), "W7": None}
    assert found.share("W7", "W3") == pytest.approx(1.0)
    assert found.share("W6", "W3") is None
    assert found.share("W3", "W6") is None
    assert results(load("W3", 1)).share_of_copy(WORKLOADS["W3"]) is None


def test_everything_at_its_widest_fits_a_hundred_columns() -> None:
    every = setups(tuple(WORKLOADS.values()))
    reads = Reads(rate=1_999.0, times=times(10, 20, 30), faults={"unsent": 3})
    loads = [load(name, 19_999_998, answers=199_998, beside=reads if name == "W6" else None) for name in WORKLOADS]
    text = printed(BenchReport(results(*loads, copies=tuple(copied(setup, 999_999) for setup in every))))
    assert max(map(len, text.splitlines())) <= 100
    assert "…" not in text
    for workload in WORKLOADS.values():
        assert workload.title in text


@pytest.mark.parametrize(
    ("loads", "code"),
    [
        ([], 2),
        ([load("W1", 100)], 0),
        ([load("W1", 100), load("W1", 0)], 2),
        ([load("W1", 100, stored=99)], 1),
        ([load("W1", 100, stored=105)], 0),
        ([load("W7", 100)], 0),
        ([load("W5", 100)], 0),
        ([load("W4", 100, stored=0)], 1),
    ],
)
def test_exit_codes(loads: list[LoadRound], code: int) -> None:
    report = BenchReport(results(*loads))
    assert report.exit_code == code
    assert json.loads(report.to_json())["exit_code"] == code
    assert ("LOST" in printed(report)) == (code == 1)


def test_what_a_reader_has_to_know() -> None:
    busy = load("W1", 100, generator_cpu=1.9, faults={"http_503_overloaded": 7})
    reads = Reads(rate=1_500.0, times=times(10, 20, 30), faults={"unsent": 3})
    found = results(
        busy, load("W3", 1_000), load("W6", 900, beside=reads), load("W7", 500), load("W4", 5), load("W1h", 5)
    )
    found.commits.append(times(0.71, 2.5, 9.0))
    notes = "\n".join(BenchReport(found).notes())
    assert "W1: the generator used 95% of a core" in notes
    assert "http_503_overloaded 7" in notes
    assert "W6: ingest beside 2,000 state reads/s: 90% of W3" in notes
    assert "W6: 1,500 state reads/s, p50 10.0 ms, p99 20.0 ms, 3 failed or unsent" in notes
    assert "W7: duplicates: 50% of W3" in notes
    assert "PUBACK" in notes
    assert "a COMMIT that writes next to nothing takes 0.7 ms (p99 2.5 ms)" in notes
    assert "W1h: an open loop" in notes


def test_json_keeps_every_round() -> None:
    setup = Setup(10, 1_000, 1, 5_000, 1)
    found = results(load("W3", 600), load("W3", 1_000), copies=(copied(setup, 10, database_cpu=None),))
    report = json.loads(BenchReport(found).to_json())
    assert [one["acked"] for one in report["workloads"]["W3"]["rounds"]] == [600, 1_000]
    assert report["workloads"]["W3"]["readings_per_s"] == {"median": 400.0, "low": 300.0, "high": 500.0}
    assert report["yardstick"][0]["setup"]["rows"] == 5_000
    assert report["yardstick"][0]["rounds"][0]["database_cpu"] is None


def test_markdown_has_the_tables_the_command_and_the_notes() -> None:
    found = results(load("W3", 1_000_000))
    found.remarks.append("the database has no TimescaleDB: messages is a plain table")
    text = BenchReport(found).to_markdown()
    assert text.startswith("## 2026-11-22T12:00+00:00\n\na machine. PostgreSQL 17, TimescaleDB 2.19.\n")
    assert "```bash\nsimulator bench\n```" in text
    assert "| W3 | 100 dev × 10, 16 conn | 500,000 | 500k–500k | 500 |" in text
    assert text.rstrip().endswith("- the database has no TimescaleDB: messages is a plain table")
    table = [line.count("|") for line in text.splitlines() if line.startswith("|")]
    assert set(table) == {10, 11}, "every row of a table has as many cells"


def test_headings_of_two_lines_are_one_on_a_page() -> None:
    sheet = Sheet("T", ("a\nb", "c-\nd"), [("1", "2")])
    assert sheet.to_markdown() == "**T**\n\n| a b | cd |\n| --- | --: |\n| 1 | 2 |\n"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (9_999, "9,999"), (12_345, "12.3k"), (234_567, "235k"), (1_234_567, "1.23M"), (99e6, "99.00M")],
)
def test_short_figures(value: float, text: str) -> None:
    assert short(value) == text


def test_milliseconds_are_shown_as_finely_as_they_matter() -> None:
    assert [millis([value]) for value in (0.04, 99.94, 100.0, 12_345.6)] == ["0.0", "99.9", "100", "12,346"]


def test_figures_that_are_not_there() -> None:
    assert figure(None) == extent(None) == middle([None, None]) == millis([]) == "–"
    assert middle([None, 1.0, 3.0], 1) == "2.0"
    assert Spread.of([]) is None


def test_a_shown_command_holds_no_passwords() -> None:
    given = ["bench", "--database", "postgresql://u:secret@h/d", "--mqtt=mqtt://u:secret@h", "--json", "a b.json"]
    assert shown_command(given) == "simulator bench --database … --mqtt=… --json 'a b.json'"


def test_growth_is_told_beside_the_first_step_of_its_kind() -> None:
    cheap = {"gateway": 0.2, "database": 0.2, "redis": 0.1}
    dear = {"gateway": 0.3, "database": 0.4, "redis": 0.3}
    loads = [load("W3", 1_000_000, cpu=cheap), load("D100", 1_000_000, cpu=cheap), load("D100k", 1_000_000, cpu=dear)]
    growth = BenchReport(results(*loads)).sheets()[-1]
    assert [row[0] for row in growth.rows] == ["D100", "D100k"]
    assert [row[6:] for row in growth.rows] == [("0.50", "1.00", "█" * 5), ("1.00", "2.00", "█" * 10)]


def test_growth_without_the_cost_of_a_part_is_not_told() -> None:
    assert "Growth" not in printed(BenchReport(results(load("D100", 1_000_000))))
