import json
from typing import Any

import pytest

from simulator.core.errors import UsageError
from simulator.measure.bench.posts import Posts, device_names, to_templates
from simulator.measure.bench.results import Window
from simulator.measure.bench.workloads import WORKLOADS, Form, pick
from tests.fakes.fake_gateway import messages_of

START_MS = 1_790_000_000_000
INGEST = [name for name, workload in WORKLOADS.items() if workload.ingests and not workload.repeats]


def head(length: int) -> bytes:
    return f"POST / HTTP/1.1\r\nContent-Length: {length}\r\n\r\n".encode()


def posts(form: Form, *, cycle: int | None = None, mqtt: bool = False) -> Posts:
    templates = to_templates(form, prefix="b", head=None if mqtt else head)
    return Posts(templates, form=form, start_ms=START_MS, cycle=cycle)


def parse(topic: bytes, data: bytes, *, mqtt: bool) -> list[tuple[str, int, dict[str, Any]]]:
    """A post's messages, as a gateway would read them; the stated length must be the body's."""
    if mqtt:
        body, device = json.loads(data), topic.decode().split("/")[1]
        assert "device" not in body
    else:
        top, _, rest = data.partition(b"\r\n\r\n")
        assert int(top.rpartition(b": ")[2]) == len(rest)
        body, device = json.loads(rest), ""
    items = body if isinstance(body, list) else [body]
    return [message for item in items for message in messages_of(item, device)]


@pytest.mark.parametrize("name", INGEST)
def test_every_reading_is_new_and_every_row_as_wide_as_said(name: str) -> None:
    workload = WORKLOADS[name]
    form, mqtt = workload.form, workload.api == "mqtt"
    source = posts(form, mqtt=mqtt)
    seen: set[tuple[str, str, int]] = set()
    latest: dict[tuple[str, str], int] = {}
    for _ in range(2 * source.count + 1):
        since = source.since_ms
        messages = parse(*source.next(), mqtt=mqtt)
        assert sum(len(values) for _, _, values in messages) == form.readings
        for device, ts, values in messages:
            assert len(values) == form.width
            assert ts >= since
            for metric in values:
                assert ts > latest.get((device, metric), 0)
                latest[device, metric] = ts
                seen.add((device, metric, ts))
    assert len(seen) == (2 * source.count + 1) * form.readings
    assert {device for device, _ in latest} == set(device_names("b", form))
    assert len(latest) == form.devices * form.metrics


@pytest.mark.parametrize("name", INGEST)
def test_times_stay_in_the_past_at_ten_times_the_hoped_for_speed(name: str) -> None:
    form = WORKLOADS[name].form
    source = posts(form, mqtt=True)
    busiest = 10_000_000 // form.readings * 60  # ten million readings/s for a minute
    source._number = busiest
    assert START_MS < source.since_ms < START_MS + 45 * 60 * 1_000


def test_a_cycle_repeats_its_bytes() -> None:
    source = posts(WORKLOADS["W7"].form, cycle=25)
    first = [source.next() for _ in range(source.count)]
    assert len(set(first)) == 25
    assert [source.next() for _ in first] == first
    assert source.since_ms == START_MS
    times = {ts for topic, data in first for _, ts, _ in parse(topic, data, mqtt=False)}
    assert min(times) >= source.since_ms


def test_a_window_lasts_from_when_it_was_opened() -> None:
    now = [5.0]
    window = Window(2.0, clock=lambda: now[0])
    assert not window.is_open
    now[0] = 100.0
    assert window.open() == 100.0
    now[0] = 101.9
    assert window.is_open
    now[0] = 102.0
    assert not window.is_open


def test_a_window_that_was_closed_before_it_opened_stays_closed() -> None:
    window = Window(2.0, clock=lambda: 5.0)
    window.close()
    window.open()
    assert not window.is_open


def test_workloads_are_picked_by_name_in_their_usual_order() -> None:
    assert [workload.name for workload in pick(" W5,W1 ,W3f")] == ["W1", "W3f", "W5"]


@pytest.mark.parametrize(("names", "bad"), [("W1,W9,W8", "W8, W9"), ("", "nothing"), (",", "nothing"), ("w1", "w1")])
def test_names_that_are_none_are_named(names: str, bad: str) -> None:
    with pytest.raises(UsageError, match=f"{bad} is not among them"):
        pick(names)
