"""Which devices are watched, and what is known of their readings beforehand."""

import json
import math
from collections import Counter
from typing import Any

import numpy as np
import pytest

from simulator.plan.plan import Plan
from simulator.plan.scenario import FaultRates, FleetSpec, Phase, Scenario
from simulator.send.loads.script import Script
from simulator.send.pacing import Turn
from simulator.targets.gateway import GatewayTarget
from simulator.watch import sample
from simulator.watch.sample import Watched, choose
from tests.fakes.fake_gateway import messages_of
from tests.unit.simulator.cases import START_MS


def mixed(*, workers: int = 1, **changes: Any) -> Plan:
    """Two fleets over both transports."""
    given: dict[str, Any] = {
        "title": "two fleets",
        "fleets": (
            FleetSpec(model="weather_station", devices=40, rate=600, mqtt=0.25, batch=12, shapes=("values", "columns")),
            FleetSpec(model="door", devices=3, rate=30, batch=2),
        ),
        "phases": (Phase(name="rise", seconds=2, begin=0.1), Phase(name="day", seconds=2)),
    }
    return Plan(scenario=Scenario(**(given | changes)), run="test", start_ms=START_MS, workers=workers)


def test_fleets_and_transports_have_their_share_and_small_ones_all_they_have() -> None:
    watched = choose(mixed(watch=17))
    shares = Counter((one.part.title, one.part.lane.transport) for one in watched)
    assert shares == {("weather-station", "http"): 7, ("weather-station", "mqtt"): 7, ("door", "http"): 3}
    assert len({one.name for one in watched}) == 17


def test_the_seed_decides_and_the_number_of_processes_does_not() -> None:
    names = [one.name for one in choose(mixed(watch=9))]
    assert [one.name for one in choose(mixed(watch=9, workers=3))] == names
    other = [one.name.split("-test-")[1] for one in choose(mixed(watch=9, seed=2))]
    assert other != [name.split("-test-")[1] for name in names]


@pytest.mark.parametrize(("bound", "value"), [("MAX_CELLS", 400), ("MAX_NAMES", 100)])
def test_fewer_are_watched_where_there_is_no_room(monkeypatch: pytest.MonkeyPatch, bound: str, value: int) -> None:
    monkeypatch.setattr(sample, bound, value)
    assert 0 < len(choose(mixed(watch=20))) < 10
    monkeypatch.setattr(sample, bound, 1)
    assert choose(mixed(watch=20)) == []
    assert choose(mixed(watch=0)) == []


def test_a_reading_is_found_by_metric_time_and_value() -> None:
    (one,) = choose(mixed(watch=1))
    time_us, value = one.time_us(2), one.value(sample.Cell(2, 1))
    assert one.find("humidity", time_us, value) == sample.Cell(2, 1)
    assert one.find("humidity", time_us, float(str(value)) + 0.01) is None
    assert one.find("humidity", time_us + 1, value) is None
    assert one.find("humidity", one.time_us(-1), value) is None
    assert one.find("humidity", None, value) is None
    assert one.find("nothing", time_us, value) is None


def test_the_times_of_messages_are_those_of_the_turns_they_are_sent_in() -> None:
    seen: set[int] = set()
    plan = mixed(watch=20, faults=FaultRates(late=0.2, out_of_order=0.2))
    for one in choose(plan):
        part = one.part
        turns = {part.draw.post_at(slot)[0]: slot for slot in range(part.lane.posts)}
        n = np.arange(part.lane.depth)
        posts = part.lane.post_of(np.array([one.device]), n).tolist()
        expected = [part.timetable.due(turns[post]) if post in turns else math.inf for post in posts]
        assert one.due.tolist() == expected
        phases = [part.timetable.phase_of(turns[post]) for post in posts if post in turns]
        assert one.phases[: len(phases)] == phases
        seen |= set(one.phases)
    assert seen == {0, 1}


def test_what_is_flipped_on_purpose_is_known_as_it_is_sent() -> None:
    flips = 0
    for one in choose(mixed(watch=20, faults=FaultRates(type_flip=0.3))):
        sent = _sent(one)
        for n, metric in sent:
            assert one.value(sample.Cell(n, metric)) == sent[n, metric]
            flips += sent[n, metric] in ("ERR", -1.0)
        assert len(sent) == np.isfinite(one.due).sum() * one.part.lane.metrics
    assert flips > 10


def _sent(one: Watched) -> dict[tuple[int, int], Any]:
    """Return what a device says on the wire, by message and metric, as its posts have it."""
    part, found = one.part, dict[tuple[int, int], Any]()
    script, names = Script(part, GatewayTarget()), [metric.name for metric in part.fleet.metrics]
    for slot in range(part.lane.posts):
        post = script.job(Turn(slot, 0.0)).post
        items, device = json.loads(post.body), post.topic.decode().split("/")[1] if post.topic else ""
        for item in items if isinstance(items, list) else [items]:
            for name, ts, values in messages_of(item, device):
                n = (ts - part.lane.time_ms(0)) // part.lane.step_ms
                said = {(n, names.index(metric)): value for metric, value in values.items()}
                found |= said if name == one.name else {}
    return found
