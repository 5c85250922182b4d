"""Buckets of history, on both grounds: functions by kind, fill, zones, and what is refused."""

from datetime import UTC, datetime
from math import inf, isnan
from sys import float_info
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from gateway.core.errors import BadRequest, TooManyBuckets
from gateway.domain.buckets import Cut, to_cut
from gateway.domain.history import FUNCTIONS, Fill, Series, SeriesName, SeriesQuery, Span
from gateway.domain.model import Kind
from tests.builders.batches import NOON, SECOND, Message
from tests.builders.past import DAY, HOUR, MINUTE, Past, span

LARGEST = float_info.max
BERLIN = ZoneInfo("Europe/Berlin")
UTC_ZONE = ZoneInfo("UTC")
TEN_MINUTES = to_cut(span(0, 10 * MINUTE), count=5, unit="m", zone=UTC_ZONE)


async def cut_up(past: Past, device: str, cut: Cut, *functions: str, fill: Fill = "none") -> list[Series]:
    answer = await past.history.buckets([device], None, cut=cut, wish=SeriesQuery(functions, fill))
    return answer.series


def at(*moment: int) -> int:
    return int(datetime(*moment, tzinfo=UTC).timestamp()) * SECOND  # type: ignore[misc,arg-type]


async def test_every_function_of_every_kind(past: Past) -> None:
    start = (-NOON) % (5 * MINUTE)  # the first whole bucket
    big = 2**62
    values: list[dict[str, Any]] = [
        {"a": 1.5, "on": True, "n": big, "s": "z"},
        {"a": -2.5, "on": False, "n": big, "s": ""},
        {"a": 10.0, "on": True, "n": 3, "s": "ä"},
    ]
    await past.store(*[("all", start + i * SECOND, each) for i, each in enumerate(values)])
    cut = to_cut(span(start, start + 5 * MINUTE), count=5, unit="m", zone=UTC_ZONE)
    answer = await past.history.buckets(["all"], ["a", "on", "n"], cut=cut, wish=SeriesQuery(FUNCTIONS))
    found = {
        series.name.metric: {name: column[0] for name, column in series.columns.items()} for series in answer.series
    }
    assert found == {
        "a": {"avg": 3.0, "min": -2.5, "max": 10.0, "sum": 9.0, "count": 3, "first": 1.5, "last": 10.0, "p50": 1.5}
        | {"p95": pytest.approx(9.15)},
        "on": {"avg": pytest.approx(2 / 3), "min": 0.0, "max": 1.0, "sum": 2.0, "count": 3, "first": True, "last": True}
        | {"p50": 1.0, "p95": 1.0},
        "n": {"avg": (2 * big + 3) / 3, "min": 3, "max": big, "sum": 2 * big + 3, "count": 3, "first": big, "last": 3}
        | {"p50": float(big), "p95": float(big)},
    }
    assert isinstance(found["on"]["first"], bool)
    assert isinstance(found["n"]["sum"], int)
    assert found["n"]["sum"] > 2**63
    [texts] = (await past.history.buckets(["all"], ["s"], cut=cut, wish=SeriesQuery(("last", "count", "first")))).series
    assert texts == Series(
        SeriesName("all", "s", Kind.TEXT), [NOON + start], {"last": ["ä"], "count": [3], "first": ["z"]}
    )


async def test_texts_have_no_average(past: Past) -> None:
    await past.store(("words", 1, {"s": "x", "a": 1.0}), ("words", 2, {"a": "broken"}))
    wish = SeriesQuery(("avg", "count"))
    with pytest.raises(BadRequest, match=r"'s'.*kind text, which has no avg") as caught:
        await past.history.buckets(["words"], ["a", "s"], cut=TEN_MINUTES, wish=wish)
    assert caught.value.details == {"parameter": "fn", "metric": "s", "kind": "text"}
    for metrics, left_out in ((["a"], ["a"]), (None, ["a", "s"])):
        answer = await past.history.buckets(["words"], metrics, cut=TEN_MINUTES, wish=wish)
        assert [(series.name.metric, series.name.kind) for series in answer.series] == [("a", Kind.DOUBLE)]
        assert [(name.metric, name.kind) for name in answer.left_out] == [(metric, Kind.TEXT) for metric in left_out]


async def test_empty_buckets_are_filled_as_told(past: Past) -> None:
    origin = -(NOON % HOUR)
    readings: list[Message] = [("gaps", origin + h * HOUR + 1, {"a": float(h), "s": str(h)}) for h in (1, 2, 4)]
    await past.store(*readings)
    cut = to_cut(span(origin, origin + 6 * HOUR), count=1, unit="h", zone=UTC_ZONE)
    hours = [NOON + origin + h * HOUR for h in range(6)]

    async def said(fill: Fill) -> list[tuple[Any, Any, Any]]:
        found = await cut_up(past, "gaps", cut, "first", "count", fill=fill)
        return [(list(series.times), series.columns["first"], series.columns["count"]) for series in found]

    only = [hours[1], hours[2], hours[4]]
    assert await said("none") == [(only, [1.0, 2.0, 4.0], [1, 1, 1]), (only, ["1", "2", "4"], [1, 1, 1])]
    counts = [0, 1, 1, 0, 1, 0]
    assert await said("null") == [
        (hours, [None, 1.0, 2.0, None, 4.0, None], counts),
        (hours, [None, "1", "2", None, "4", None], counts),
    ]
    assert await said("prev") == [
        (hours, [None, 1.0, 2.0, 2.0, 4.0, 4.0], counts),
        (hours, [None, "1", "2", "2", "4", "4"], counts),
    ]


@pytest.mark.parametrize(
    ("name", "first", "hours"),
    [("spring", at(2024, 3, 29, 23), (24, 23, 24)), ("autumn", at(2024, 10, 25, 22), (24, 25, 24))],
)
async def test_days_in_berlin_are_as_long_as_they_are(
    past: Past, name: str, first: int, hours: tuple[int, ...]
) -> None:
    readings: list[Message] = [(name, first - NOON + h * HOUR, {"a": 1.0}) for h in range(sum(hours))]
    await past.store(*readings)
    cut = to_cut(Span(first, first + sum(hours) * HOUR), count=1, unit="d", zone=BERLIN)
    [series] = await cut_up(past, name, cut, "sum")
    starts = [first, first + hours[0] * HOUR, first + (hours[0] + hours[1]) * HOUR]
    assert (series.times, series.columns["sum"]) == (starts, [float(h) for h in hours])


async def test_hours_stay_hours_when_the_clock_goes_back(past: Past) -> None:
    first = at(2024, 10, 26, 22)  # midnight in Berlin; 25 hours to the next
    await past.store(*[("hours", first - NOON + i * HOUR // 2, {"a": 1.0}) for i in range(50)])
    cut = to_cut(Span(first, first + 25 * HOUR), count=1, unit="h", zone=BERLIN)
    [series] = await cut_up(past, "hours", cut, "count")
    assert (series.times, series.columns["count"]) == ([first + h * HOUR for h in range(25)], [2] * 25)


async def test_widths_count_from_local_midnight(past: Past) -> None:
    first = at(2024, 6, 30, 18, 30)  # midnight in Kolkata
    await past.store(*[("kolkata", first - NOON + h * HOUR, {"a": 1.0}) for h in range(24)])
    cut = to_cut(Span(first, first + DAY), count=6, unit="h", zone=ZoneInfo("Asia/Kolkata"))
    [series] = await cut_up(past, "kolkata", cut, "count")
    assert (series.times, series.columns["count"]) == ([first + h * HOUR for h in (0, 6, 12, 18)], [6] * 4)


async def test_the_first_bucket_may_begin_before_the_span(past: Past) -> None:
    origin = -(NOON % HOUR)
    await past.store(*[("part", origin + m * MINUTE, {"a": 1.0}) for m in range(0, 90, 10)])
    cut = to_cut(span(origin + 30 * MINUTE, origin + 80 * MINUTE), count=1, unit="h", zone=UTC_ZONE)
    [series] = await cut_up(past, "part", cut, "count")
    assert (series.times, series.columns["count"]) == ([NOON + origin, NOON + origin + HOUR], [3, 2])


@pytest.mark.parametrize(
    ("name", "values", "total", "average"),
    [
        ("squares", [1e155, -3e155, 5e-324], -2e155, -2e155 / 3),
        ("sum", [1.7e308, 1.7e308], inf, 1.7e308),
        ("below", [-1.7e308, -1.7e308, -1.0], -inf, -1.7e308 / 3 * 2),
        ("passing", [1.7e308, 1.7e308, -1.7e308], 1.7e308, 1.7e308 / 3),
        ("largest", [LARGEST] * 3, inf, LARGEST),
        ("mixed", [1e289, 1e290, 1.0, 5e-324], 1.1e290, 2.75e289),
    ],
)
async def test_only_the_sum_that_is_beyond_every_double_cannot_be_told(
    past: Past, name: str, values: list[float], total: float, average: float
) -> None:
    await past.store(*[(name, i, {"a": value, "b": 1.0}) for i, value in enumerate(values)])
    cut = to_cut(span(0, SECOND), count=1, unit="h", zone=UTC_ZONE)
    large, small = await cut_up(past, name, cut, *FUNCTIONS)
    told = {function: column[0] for function, column in large.columns.items()}
    assert (told["min"], told["max"], told["count"]) == (min(values), max(values), len(values))
    assert (told["first"], told["last"]) == (values[0], values[-1])
    assert told["sum"] == pytest.approx(total)
    assert told["avg"] == pytest.approx(average)
    assert small.columns["sum"] == [float(len(values))]
    without = await cut_up(past, name, cut, "max")
    assert [series.columns["max"][0] for series in without] == [max(values), 1.0]


async def test_a_percentile_between_values_too_far_apart_is_none(past: Past) -> None:
    await past.store(*[("apart", i, {"a": value}) for i, value in enumerate([-1.7e308, 1.7e308])])
    [series] = await cut_up(past, "apart", to_cut(span(0, SECOND), count=1, unit="h", zone=UTC_ZONE), "p50", "max")
    assert isnan(series.columns["p50"][0])  # type: ignore[arg-type]
    assert series.columns["max"] == [1.7e308]


async def test_too_many_values_in_one_answer_say_what_would_fit(past: Past) -> None:
    await past.store(("wide", 1, {f"m{i:03}": 1.0 for i in range(200)}))
    cut = to_cut(span(0, 5000 * MINUTE), count=1, unit="m", zone=UTC_ZONE)
    with pytest.raises(TooManyBuckets, match="5001 buckets of 200 columns") as caught:
        await cut_up(past, "wide", cut, "avg")
    assert caught.value.details["suggested_every"] == "5m"
    finer = to_cut(span(0, 5000 * MINUTE), count=5, unit="m", zone=UTC_ZONE)
    assert len(await cut_up(past, "wide", finer, "avg")) == 200
