"""A small run, acknowledged and shown as a test wants it: doors, observations, what follows from them."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np

from simulator.plan.plan import Plan
from simulator.plan.scenario import FaultRates, FleetSpec, Phase, Scenario
from simulator.send.ledger import Ledger
from simulator.verify.findings import Findings
from simulator.watch.judging import Judgement, judge
from simulator.watch.observations import Observations
from simulator.watch.sample import Cell, Watched, choose
from simulator.watch.stream import SseEvent
from tests.fakes.fake_gateway import to_text
from tests.unit.simulator.cases import START_MS, ManualClock

BEGAN = 1_000.0
METRICS = ("door_open", "event")
NONE = FaultRates()


class Scene:
    """Two doors that report twice a second over one transport, for five seconds, one message in a post."""

    def __init__(self, *, faults: FaultRates = NONE, mqtt: float = 0.0, phases: tuple[Phase, ...] = ()) -> None:
        fleet = FleetSpec(model="door", devices=2, rate=8, batch=2, mqtt=mqtt)
        scenario = Scenario(title="doors", fleets=(fleet,), seconds=5, watch=2, faults=faults, phases=phases)
        self.plan = Plan(scenario=scenario, run="test", start_ms=START_MS)
        self.ledgers = [Ledger(part.lane) for part in self.plan.parts()]
        self.clock = ManualClock()
        self.observations = Observations(choose(self.plan), clock=self.clock)
        self.phases = len(scenario.timeline)
        self.events = 0

    @property
    def first(self) -> Watched:
        return self.observations.watched[0]

    def acknowledge(self) -> None:
        """Let every post be acknowledged."""
        for ledger in self.ledgers:
            for post in range(ledger.lane.posts):
                ledger.write_sent(post)
                ledger.write_acknowledged(post, "db")

    def change(self, one: Watched, n: int, *, late: float = 0.01, **other: Any) -> None:
        """Let the stream show a message, so long after it was due."""
        values = {one.metric(i): one.value(Cell(n, i)) for i in range(len(METRICS))} | other
        change = {"device": one.name, "ts": to_text(one.time_us(n) // 1_000), "values": values}
        self.events += 1
        self.event("change", one.due[n] + late, {"changes": [change]}, f"e-{self.events}")

    def event(self, kind: str, at: float, data: Any, number: str = "") -> None:
        self.clock.now = float(BEGAN + at)
        self.observations.take_event(SseEvent(kind, json.dumps(data), number))

    def state(self, one: Watched, n: int, *, late: float = 0.05) -> None:
        """Let the state show a message."""
        self.clock.now = float(BEGAN + one.due[n] + late)
        self.observations.take_states({one.name: self.shown(one, n)})

    def shown(self, one: Watched, n: int) -> dict[str, Any]:
        ts = to_text(one.time_us(n) // 1_000)
        return {one.metric(i): {"ts": ts, "value": one.value(Cell(n, i))} for i in range(len(METRICS))}

    def show_all(self, *, but: Callable[[Watched, int], bool] = lambda *_: False) -> None:
        """Let state and stream show everything in time, the stream all but some."""
        self.event("reset", -1.0, {"reason": "start", "states": {}})
        for one in self.observations.watched:
            for n in range(int(np.isfinite(one.due).sum())):
                self.state(one, n)
                if not but(one, n):
                    self.change(one, n)

    def judge(self, now: float = 10.0) -> Judgement:
        return judge(self.observations, self.ledgers, began={0: BEGAN, 1: BEGAN}, phases=self.phases, now=BEGAN + now)

    def findings(self) -> Findings:
        total = Findings()
        for found in self.judge().findings.values():
            total.add(found)
        return total
