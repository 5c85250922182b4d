"""The page: what stands on it, that it is whole, and that nothing on it comes from elsewhere."""

import math
import re
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from simulator.plan.requirements import parse
from simulator.report.charts import fitting, linear
from simulator.report.page import to_html
from simulator.report.report import Report
from simulator.send.loads.script import Score, WrongAnswer
from simulator.send.timeline import Row, Timeline
from simulator.verify.findings import Findings, Problem
from simulator.verify.referee import Verdict
from tests.unit.simulator.cases import plan
from tests.unit.simulator.report.test_report import result

_VOID = {"meta", "br"}
HOSTILE = "<script>alert('x')</script>&\"\x00\ud800"


class _Reader(HTMLParser):
    """Reads a page as a browser would; fails on a tag that is not closed in its turn."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def page(report: Report) -> _Reader:
    reader = _Reader()
    reader.feed(to_html(report).decode())
    reader.close()
    assert reader.open == []
    return reader


def row(second: int, **changes: int) -> Row:
    return Row(offered=50, acknowledged=50, latencies={100 + second: 5}, errors=changes)


def report(*rows: Row, requirements: str = "", findings: Findings | None = None, score: Score | None = None) -> Report:
    one = result(score=score or Score(), codes={"not_finite": 2})
    one.timelines = {"http": Timeline(rows=list(rows))} if rows else {}
    verdict = Verdict({"http": findings or Findings(stored=100)}, stored_checked=True)
    return Report(plan(), [one], verdict=verdict, requirements=parse(requirements))


def test_the_verdict_stands_first_then_checks_and_charts() -> None:
    lost = Findings(lost=1, problems=[Problem("lost", "d1", "humidity", 0, "")])
    text = page(report(row(0), row(1, overloaded=3), findings=lost, requirements="p99_ack<1ms")).text
    places = [
        text.index(word)
        for word in (
            "✗ FAILED: 1 lost", "Checks", "d1 humidity", "required p99_ack<1ms", "Readings a second",
            "Latency over HTTP", "by code, in each second", "overloaded", "Refused readings",
        )
    ]  # fmt: skip
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("one", "says"),
    [
        (report(row(0)), "✓ every acknowledged reading is stored once and unaltered; states are right"),
        (report(row(0), requirements="p99_ack<1ms"), "✗ REQUIREMENT NOT MET: p99_ack<1ms (200.0 ms)"),
        (Report(plan(), [result()], verdict=None), "○ sent, not verified"),
    ],
)
def test_the_verdict_is_that_of_the_screen(one: Report, says: str) -> None:
    assert says in page(one).text


def test_nothing_is_loaded_and_what_others_wrote_stays_text() -> None:
    wrong = WrongAnswer(device=HOSTILE, time_us=0, fault="nul", expected=HOSTILE, got="200")
    one = report(row(0, **{HOSTILE: 1}), score=Score(wrong={"nul": 1}, examples=[wrong]))
    one.plan = replace(one.plan, scenario=replace(one.plan.scenario, title=HOSTILE))
    read = page(one)
    tags = {tag for tag, _ in read.tags}
    assert not tags & {"script", "link", "img", "iframe", "object"}
    assert all(not name.startswith("on") and name not in {"src", "href"} for _, found in read.tags for name in found)
    assert "url(" not in to_html(one).decode()
    assert read.text.count("<script>alert('x')</script>") >= 4


def test_charts_are_whole_and_a_stall_is_a_gap() -> None:
    rows = [row(0), row(1), Row(offered=50), row(3), row(4)]
    html = to_html(report(*rows)).decode()
    drawn = [ET.fromstring(svg) for svg in re.findall(r"(?s)<svg.*?</svg>", html)]
    assert len(drawn) == 2
    latency = drawn[1]
    paths = [path.attrib["d"] for path in latency.iter("path") if path.attrib["class"].startswith("line")]
    assert len(paths) == 4
    assert all(path.count("M") == 2 for path in paths)
    told = [title.text or "" for title in latency.iter("title")]
    assert len(told) == 5
    assert told[2] == "2 s"
    assert "No attempt failed" in html


@given(st.floats(1e-3, 1e9), st.floats(1.0, 1e6))
def test_an_axis_holds_its_values_in_order_with_few_marks(low: float, ratio: float) -> None:
    high = low * ratio
    for scale in (linear(high), fitting(low, high)):
        assert 2 <= len(scale.ticks) <= 9
        assert scale.high >= high * (1 - 1e-9)
        places = [scale.at(value) for value in (low, math.sqrt(low * high), high)]
        assert places == sorted(places)
        assert -1e-9 <= places[0] <= places[-1] <= 1 + 1e-9
        assert list(scale.ticks) == sorted(set(scale.ticks))


def test_an_axis_of_nothing_is_one_all_the_same() -> None:
    assert linear(0.0).high > 0
    assert linear(2, finest=1).ticks == (0, 1, 2)
