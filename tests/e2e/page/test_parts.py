"""The pure parts of the page, run where they run: in the browser, with the page's own modules."""

import json
from collections.abc import Iterator
from itertools import pairwise
from random import Random
from typing import Any
from urllib.parse import unquote

import pytest

from tests.browser.chromium import Chromium
from tests.browser.tab import Tab
from tests.e2e.page.site import Site

STREAM = (
    ': ping\r\n\r\nretry: 1500\n\nevent: reset\nid: 1-0\ndata: {"reason":\n'
    'data: "start"}\n\nevent: change\rid: 2-0\rdata: {"changes": []}\r\r'
    'event: lagged\r\ndata: {"skipped": 3}\r\n\r\ndata:no space\n\nid: 3-0\n\nevent: cut\ndata: {"never'
)
EVENTS = [
    {"name": "reset", "data": '{"reason":\n"start"}', "id": "1-0"},
    {"name": "change", "data": '{"changes": []}', "id": "2-0"},
    {"name": "lagged", "data": '{"skipped": 3}', "id": None},
    {"name": "message", "data": "no space", "id": None},
]
SEED = 20261122


@pytest.fixture(scope="module")
def page(site: Site, browser: Chromium) -> Iterator[Tab]:
    with browser.tab() as tab:
        tab.go(site.url)
        yield tab


def use(page: Tab, module: str, names: str, expression: str) -> Any:
    """What an expression is worth with these names of a module."""
    return page.run(f"import('/static/{module}.js').then(({{{names}}}) => {expression})")


def test_a_stream_is_read_in_whatever_pieces_it_comes(page: Tab) -> None:
    random, cuttings = Random(SEED), []
    for _ in range(300):
        cuts = sorted(random.sample(range(1, len(STREAM)), random.randrange(1, 12)))
        cuttings.append([STREAM[a:b] for a, b in pairwise([0, *cuts, len(STREAM)])])
    cuttings.append(list(STREAM))
    read = """cuttings.map((parts) => {
      const found = [], events = new Events((event) => found.push(event));
      for (const part of parts) events.feed(part);
      return JSON.stringify(found);
    })"""
    found = use(page, "stream", "Events", f"((cuttings) => {read})({json.dumps(cuttings)})")
    assert [json.loads(one) for one in set(found)] == [EVENTS]


def test_integers_beyond_doubles_are_shown_to_the_digit(page: Tab) -> None:
    text = '{"value": 9223372036854775807, "low": -9223372036854775808, "safe": 9007199254740991, "real": 1.5e300}'
    read = use(page, "session", "parse", f"parse({json.dumps(text)})")
    assert (read["value"], read["low"]) == ("9223372036854775807", "-9223372036854775808")
    assert (read["safe"], read["real"]) == (2**53 - 1, 1.5e300)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("true", "yes"),
        ("0", "0"),
        ("-1234567", "-1,234,567"),
        ("21.50000000000001", "21.5"),
        ("0.00001234", "0.0000123400"),
        ("1e21", "1e+21"),
        ("'<b>'", "<b>"),
    ],
)
def test_a_value_is_written_as_a_person_reads_it(page: Tab, given: str, shown: str) -> None:
    assert use(page, "format", "value", f"value({given})") == shown


@pytest.mark.parametrize(
    ("ms", "shown"),
    [(0, "now"), (999, "now"), (12_400, "12 s ago"), (150_000, "2 min ago"), (7_200_000, "2 h ago"), (4e8, "4 d ago")],
)
def test_an_age_is_short(page: Tab, ms: float, shown: str) -> None:
    assert use(page, "format", "ago", f"ago({ms})") == shown


def test_ticks_are_round_inside_the_range_and_told_apart(page: Tab) -> None:
    random = Random(SEED)
    ranges = [
        [low := random.uniform(-1, 1) * 10 ** random.randrange(-6, 9), low + 10 ** random.uniform(-6, 9)]
        for _ in range(300)
    ]
    made = use(
        page,
        "scale",
        "ticks",
        f"""{json.dumps(ranges)}.map((range) => {{
          const {{found, format}} = ticks(range, 5);
          return [found, found.map(format)];
        }})""",
    )
    for (low, high), (found, labels) in zip(ranges, made, strict=True):
        slack = (high - low) * 1e-9
        assert all(low - slack <= one <= high + slack for one in found)
        assert len(found) <= 8
        if high - low > abs(high) * 1e-6:
            assert len(found) >= 2
            assert len(set(labels)) == len(labels), (low, high, labels)


def test_no_values_are_too_large_or_too_close_for_a_scale(page: Tab) -> None:
    extremes = "[[1e17, 1e17 + 64], [-1.7e308, 1.7e308], [0, 5e-324], [1e300, 1e300], [-1e-320, 1e-320], []]"
    scaled = use(
        page,
        "scale",
        "domain, linear, ticks",
        f"""{extremes}.map((values) => {{
          const reach = domain(values), {{found, format}} = ticks(reach, 5);
          return [...reach, found.length, ...values.map(linear(reach, [0, 300]))].every(Number.isFinite)
            && found.map(format).every((label) => label.length > 0) && found.length < 20;
        }})""",
    )
    assert scaled == [True] * 6


def test_a_name_is_one_segment_of_a_path_whatever_it_is(page: Tab) -> None:
    names = [".", "..", "...", "d:1", ".a"]
    paths = "new URL(`/v1/devices/${segment(name)}/state`, 'http://host').pathname"
    found = use(page, "format", "segment", f"{json.dumps(names)}.map((name) => {paths})")
    assert [unquote(unquote(path)) for path in found] == [f"/v1/devices/{name}/state" for name in names]


def test_an_instant_keeps_its_microseconds(page: Tab) -> None:
    times = ["2026-11-30T12:00:00.123456Z", "2026-11-30T12:00:00.120000Z", "2026-11-30T12:00:00Z"]
    found = use(page, "format", "instant", f"{json.dumps(times)}.map(instant)")
    assert [round(ms * 1000) for ms in found] == [1_796_040_000_123_456, 1_796_040_000_120_000, 1_796_040_000_000_000]


def test_days_are_those_of_the_wall_clock_also_when_the_clocks_change(page: Tab) -> None:
    page.zone("Europe/Berlin")
    start, week = 1_774_393_200_000, 7 * 86_400_000  # 25 March 2026, 00:00; on the 29th an hour is left out
    expression = (
        f"timeTicks([{start}, {start + week}], 8).found.map((at) => [new Date(at).getHours(), new Date(at).getDate()])"
    )
    days = use(page, "scale", "timeTicks", expression)
    page.zone("")
    assert days == [[0, day] for day in (25, 26, 27, 28, 29, 30, 31, 1)]


def test_delays_grow_to_a_bound_and_begin_anew(page: Tab) -> None:
    delays = use(
        page,
        "pace",
        "Backoff",
        "(() => { const one = new Backoff(); const all = Array.from({length: 8}, () => one.next(() => 1));"
        " one.reset(); return [...all, one.next(() => 0)]; })()",
    )
    assert delays == [500, 1000, 2000, 4000, 5000, 5000, 5000, 5000, 250]


def test_a_line_breaks_where_nothing_was_reported_for_long(page: Tab) -> None:
    times = [*range(0, 100_000, 1000), *range(300_000, 400_000, 1000)]
    gaps = use(page, "scale", "breaks", f"breaks({times}, [0, 400000])")
    assert [i for i, gap in enumerate(gaps) if gap] == [99]


def test_the_nearest_of_rising_numbers_is_found(page: Tab) -> None:
    wanted = [-5, 0, 4, 6, 14, 16, 99]
    assert use(page, "scale", "nearest", f"{wanted}.map((one) => nearest([0, 10, 20], one))") == [0, 0, 0, 1, 1, 2, 2]
