"""Charts of history, on both grounds: thinned numbers, changes of bools and texts, long spans, overlapping shapes."""

import math

import pytest

from gateway.core.errors import BadRequest
from gateway.domain.history import MAX_CHANGES, Series
from gateway.domain.model import Kind, Value
from gateway.timescale.history import charts, reader
from tests.builders.batches import NOON, SECOND, Message
from tests.builders.past import Past, span


async def chart(past: Past, *devices: str, within: int, points: int) -> dict[str, Series]:
    answer = await past.history.chart(devices, None, span=span(0, within), points=points)
    return {f"{series.name.device}/{series.name.metric}/{series.name.kind}": series for series in answer.series}


def waves(device: str, count: int) -> list[Message]:
    return [
        (device, i * SECOND, {"a": math.sin(i / 50) + (50.0 if i == 777 else 0.0), "n": 2**60 + i, "on": i % 500 < 250})
        for i in range(count)
    ]


async def test_a_chart_keeps_the_ends_the_peak_and_only_stored_points(past: Past) -> None:
    messages = waves("wave", 3000)
    await past.store(*messages)
    found = await chart(past, "wave", within=3000 * SECOND, points=100)
    a = found["wave/a/double"]
    assert len(a.times) == len(a.columns["value"]) == 100
    stored = {NOON + after: values["a"] for _, after, values in messages}
    assert all(stored[time_us] == value for time_us, value in zip(a.times, a.columns["value"], strict=True))
    assert {NOON, NOON + 777 * SECOND, NOON + 2999 * SECOND} <= set(a.times)
    n = found["wave/n/int"]
    assert all(v == 2**60 + (t - NOON) // SECOND for t, v in zip(n.times, n.columns["value"], strict=True))


async def test_bools_and_texts_are_shown_by_their_changes(past: Past) -> None:
    states: list[Value] = ["idle", "idle", "run", "run", "run", "idle", "idle"]
    await past.store(*[("door", i, {"s": state, "open": state == "run"}) for i, state in enumerate(states)])
    found = await chart(past, "door", within=100, points=3)
    changes = [NOON + i for i in (0, 2, 5, 6)]
    assert (found["door/s/text"].times, found["door/s/text"].columns["value"]) == (
        changes,
        ["idle", "run", "idle", "idle"],
    )
    assert found["door/open/bool"].columns["value"] == [False, True, False, False]
    assert found["door/open/bool"].times == changes
    assert not found["door/s/text"].truncated


async def test_more_changes_than_are_shown_are_said(past: Past) -> None:
    await past.store(*[("flip", i, {"on": i % 2 == 0}) for i in range(MAX_CHANGES + 5)])
    series = (await chart(past, "flip", within=SECOND, points=3))["flip/on/bool"]
    assert series.truncated
    assert series.times == [NOON + i for i in range(5, MAX_CHANGES + 5)]


async def test_fewer_points_than_asked_for_come_as_they_are(past: Past) -> None:
    await past.store(("few", 1, {"a": 1.0}), ("few", 5, {"a": -1.0}))
    found = await chart(past, "few", within=10, points=3)
    assert (found["few/a/double"].times, found["few/a/double"].columns["value"]) == ([NOON + 1, NOON + 5], [1.0, -1.0])
    assert await chart(past, "few", within=1, points=3) == {}


@pytest.mark.parametrize("block", [20, 1000])
async def test_the_older_shape_tells_a_chart_too(past: Past, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    device = f"over{block}"
    await past.store(*[(device, i * SECOND, {"a": float(i), "b": 0.0}) for i in range(0, 40, 2)])
    await past.store(*[(device, i * SECOND, {"a": -1.0 if i % 2 == 0 else float(i), "on": True}) for i in range(40)])
    monkeypatch.setattr(charts, "BLOCK_VALUES", block)
    found = await chart(past, device, within=40 * SECOND, points=100)
    assert found[f"{device}/a/double"].columns["value"] == [float(i) for i in range(40)]


async def test_a_span_too_long_to_read_keeps_its_peaks(past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    messages = waves("years", 5000)
    await past.store(*messages)
    monkeypatch.setattr(charts, "MAX_VALUES", 1000)
    monkeypatch.setattr(charts, "BLOCK_VALUES", 900)
    found = await chart(past, "years", within=5000 * SECOND, points=50)
    a, n = found["years/a/double"], found["years/n/int"]
    assert len(a.times) == len(n.times) == 50
    stored = {NOON + after: values for _, after, values in messages}
    assert all(stored[t]["a"] == value for t, value in zip(a.times, a.columns["value"], strict=True))
    assert all(stored[t]["n"] == value for t, value in zip(n.times, n.columns["value"], strict=True))
    assert {NOON, NOON + 777 * SECOND, NOON + 4999 * SECOND} <= set(a.times)
    assert a.name.kind is Kind.DOUBLE


async def test_more_than_one_answer_holds_is_refused(past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    await past.store(("dense", 1, {"a": 1.0, "b": 2.0}))
    monkeypatch.setattr(reader, "MAX_CELLS", 10)
    with pytest.raises(BadRequest, match="2 series of 6 points"):
        await chart(past, "dense", within=10, points=6)
    assert len(await chart(past, "dense", within=10, points=5)) == 2
