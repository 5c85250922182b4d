"""Any messages, on both grounds: rows, buckets and charts say what a plain model in Python says."""

import itertools
from collections.abc import Sequence
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.core.errors import BadRequest
from gateway.domain.buckets import Cut, to_cut
from gateway.domain.history import FUNCTIONS, TEXT_FUNCTIONS, HistoryRow, Order, Series, SeriesName, SeriesQuery
from gateway.domain.model import Kind, Value
from gateway.timescale.chunks import Calendar, Windows
from gateway.timescale.connections.pool import Connection
from tests.builders.batches import KINDS, NOON, SECOND, Message
from tests.builders.past import Past, in_buckets, say, span


class Chopped(Calendar):
    """As if there were a chunk every 70 s, and one could be read at once."""

    async def windows(self, _: Connection) -> Windows:
        return Windows(range(NOON - 33 * SECOND, NOON + 1300 * SECOND, 70 * SECOND), 1)


@pytest.fixture(params=["whole", "in windows"])
async def past(request: pytest.FixtureRequest, past: Past) -> Past:
    """History read by one statement, and read window by window."""
    if request.param == "in windows":
        past.history._calendar = Chopped()
    return past


numbers = itertools.count()
values = st.one_of(
    st.integers(-400, 400).map(lambda n: n / 4),  # sums of quarters are exact in any order
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.sampled_from(["", "x", "ü\n", "21.5"]),
)
messages = st.lists(
    st.tuples(
        st.sampled_from(["d", "e"]),
        st.integers(0, 40).map(lambda n: n * 30 * SECOND),
        st.dictionaries(st.sampled_from("abc"), values, min_size=1, max_size=3),
    ),
    max_size=40,
)
wanted = st.one_of(st.none(), st.lists(st.sampled_from("abcx"), min_size=1, unique=True))
spans = st.tuples(st.integers(0, 40), st.integers(0, 40)).map(lambda pair: [n * 30 * SECOND + 1 for n in sorted(pair)])
NUMERIC = (Kind.DOUBLE, Kind.BOOL, Kind.INT)
zones = st.sampled_from(["UTC", "Asia/Kolkata"])
ANY = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def first_of_each(found: list[Message]) -> list[Message]:
    """Messages as the gateway keeps them: of one device, shape and time only the first."""
    kept: dict[object, Message] = {}
    for device, after, metrics in found:
        shape = frozenset((name, KINDS[type(value)]) for name, value in metrics.items())
        kept.setdefault((device, after, shape), (device, after, metrics))
    return list(kept.values())


def renamed(found: list[Message]) -> tuple[list[Message], list[str]]:
    """The same for two devices that no other example has."""
    number = next(numbers)
    names = {"d": f"d{number}", "e": f"e{number}"}
    return [(names[device], after, metrics) for device, after, metrics in found], sorted(names.values())


async def stored(past: Past, found: list[Message], names: list[str]) -> None:
    await past.gateway.dictionary.device_ids(names)
    if found:
        await past.store(*found)


@ANY
@given(found=messages, metrics=wanted, within=spans, limit=st.integers(1, 9), down=st.booleans())
async def test_pages_are_what_the_model_says(
    past: Past, *, found: list[Message], metrics: list[str] | None, within: list[int], limit: int, down: bool
) -> None:
    kept, names = renamed(first_of_each(found))
    await stored(past, kept, names)
    paged: list[HistoryRow] = []
    after = None
    while True:
        order = Order(span(*within), down, after)
        page = await past.history.page(names, metrics, order=order, limit=limit)
        paged += page.rows
        if page.last is None:
            break
        after = page.last
    expected = list(past.known(kept).rows(names, metrics, span(*within)))
    if down:
        expected.sort(key=lambda one: -one.time_us)
    assert [(one, list(map(type, sorted_values(one)))) for one in paged] == [
        (one, list(map(type, sorted_values(one)))) for one in expected
    ]


def sorted_values(one: HistoryRow) -> list[Value]:
    return [one.values[name] for name in sorted(one.values)]


@ANY
@given(found=messages, metrics=wanted, within=spans, minutes=st.integers(1, 7), zone=zones)
async def test_buckets_are_what_the_model_says(
    past: Past, *, found: list[Message], metrics: list[str] | None, within: list[int], minutes: int, zone: str
) -> None:
    kept, names = renamed(first_of_each(found))
    await stored(past, kept, names)
    cut = to_cut(span(*within), count=minutes, unit="m", zone=ZoneInfo(zone))
    readings = past.known(kept).readings(names, metrics, span(*within))
    for functions, kinds in ((FUNCTIONS, NUMERIC), (TEXT_FUNCTIONS, tuple(Kind))):
        asking = past.history.buckets(names, metrics, cut=cut, wish=SeriesQuery(functions))
        if functions is FUNCTIONS and only_texts(kept, metrics):
            with pytest.raises(BadRequest, match="kind text"):
                await asking
            continue
        answer = await asking
        expected = {name: bucketed(name, readings[name], cut, functions) for name in readings if name.kind in kinds}
        assert [series.name for series in answer.series] == sorted(expected)
        for series in answer.series:
            assert_same(series, expected[series.name])


def only_texts(kept: list[Message], metrics: list[str] | None) -> bool:
    """Whether one of the named metrics has no other kind."""
    kinds: dict[str, set[Kind]] = {}
    for name, value in ((name, value) for _, _, values in kept for name, value in values.items()):
        kinds.setdefault(name, set()).add(KINDS[type(value)])
    return metrics is not None and any(kinds.get(name) == {Kind.TEXT} for name in metrics)


def bucketed(name: SeriesName, readings: list[tuple[int, Value]], cut: Cut, functions: Sequence[str]) -> Series:
    groups = in_buckets(readings, cut)
    columns = {function: [say(function, name.kind, group) for group in groups.values()] for function in functions}
    return Series(name, list(groups), columns)


def assert_same(found: Series, expected: Series) -> None:
    assert list(found.times) == list(expected.times), found.name
    for function, column in expected.columns.items():
        said = found.columns[function]
        if function in ("avg", "p50", "p95"):
            assert said == pytest.approx(column, rel=1e-12, abs=1e-9), (found.name, function)
        else:
            assert list(zip(said, map(type, said), strict=True)) == list(zip(column, map(type, column), strict=True)), (
                found.name,
                function,
            )


@ANY
@given(found=messages, metrics=wanted, within=spans)
async def test_charts_of_few_points_are_the_readings(
    past: Past, found: list[Message], metrics: list[str] | None, within: list[int]
) -> None:
    kept, names = renamed(first_of_each(found))
    await stored(past, kept, names)
    answer = await past.history.chart(names, metrics, span=span(*within), points=100)
    readings = past.known(kept).readings(names, metrics, span(*within))
    assert [series.name for series in answer.series] == sorted(readings)
    for series in answer.series:
        expected = readings[series.name]
        if series.name.kind in (Kind.BOOL, Kind.TEXT):
            last = len(expected) - 1
            expected = [
                point for at, point in enumerate(expected) if at in (0, last) or point[1] != expected[at - 1][1]
            ]
        assert list(zip(series.times, series.columns["value"], strict=True)) == expected
