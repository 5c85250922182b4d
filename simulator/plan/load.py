"""The load options of the command line, what is sent and how fast: a scenario as they change it, and the plan of it."""

import math
from dataclasses import dataclass
from typing import Literal

from cyclopts import Group, Parameter
from msgspec.structs import replace

from simulator.core.errors import UsageError, require
from simulator.plan.plan import Plan
from simulator.plan.scenario import (
    MAX_DEVICES,
    MAX_MQTT_CONNECTIONS,
    FleetSpec,
    Scenario,
    Shape,
    find,
    run_id,
)

LOAD = Group("Load", sort_key=0)
Mix = Literal["http", "mqtt", "mixed"]

_MQTT_SHARE: dict[Mix, float] = {"http": 0.0, "mqtt": 1.0, "mixed": 0.5}
_KEPT = ("seed", "connections", "mqtt_connections", "window", "give_up", "watch")
_MAX_METRICS = 500
"""The gateway's own limit of metrics in a device."""
_MAX_CONNECTIONS = 1_000
_MAX_WINDOW = 65_535
"""Packet identifiers have 16 bits."""
_MAX_WATCH = 100
"""So many names fit into the address of a stream."""


@Parameter(name="*", group=LOAD)
@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOptions:
    """What is sent, and how fast. Without a scenario the defaults in brackets hold; with one its own."""

    devices: int | None = None
    """Devices that report, over all fleets [1,000]."""
    rate: float | None = None
    """Readings offered a second, over all fleets and transports [20,000]."""
    seconds: float | None = None
    """How long they are offered [20]."""
    transport: Mix | None = None
    """How they are sent; mixed gives half of the devices to each [mixed]."""
    batch: int | None = None
    """Readings in a request, of several devices [50]."""
    publish_batch: int | None = None
    """Readings in an MQTT publish, of one device [as --batch]."""
    metrics: int | None = None
    """Numbers each device reports; not with a scenario [5]."""
    mixed_kinds: bool = False
    """Add a bool and a text to them; not with a scenario."""
    shape: Shape | None = None
    """How bodies are written; see the documentation of the API [values]."""
    seed: int | None = None
    """Decides every value and every fault [1]."""
    run: str | None = None
    """Name of the run, part of the devices' names [from the time]."""
    start_ms: int | None = None
    """Time of the first readings, in ms since 1970 [now]. With --run and --seed it decides every byte."""
    connections: int | None = None
    """HTTP connections; each has one request on the way [16]."""
    mqtt_connections: int | None = None
    """MQTT connections, at most one for each device [4]."""
    window: int | None = None
    """MQTT messages on the way on each connection; on all of a fleet together at most 200,000 [1,000]."""
    give_up: float | None = None
    """Seconds after which a post is neither started nor sent again [60]."""
    workers: int = 1
    """Processes that send; the devices are shared among them."""
    watch: int | None = None
    """Devices whose readings are waited for in the state and in the live stream; 0: none [20]."""

    def scenario(self, name: str | None) -> Scenario:
        """Return the scenario of this name, or the plain one, with what these options say. Raises UsageError."""
        self._check()
        if name is None:
            return overridden(plain(metrics=self.metrics, mixed_kinds=self.mixed_kinds), self)
        if self.metrics is not None or self.mixed_kinds:
            raise UsageError(
                "--metrics and --mixed-kinds are for runs without a scenario: its models say what is sent."
            )
        return overridden(find(name), self)

    def plan(self, name: str | None = None, *, now_ms: int) -> Plan:
        """Return the run these options describe. Raises UsageError."""
        scenario = self.scenario(name)
        start_ms = now_ms - int(scenario.ago * 1_000) if self.start_ms is None else self.start_ms
        run = run_id(now_ms) if self.run is None else self.run
        plan = Plan(scenario=scenario, run=run, start_ms=start_ms, began_ms=now_ms, workers=self.workers)
        if self.mqtt_connections is not None and 0 < plan.mqtt_devices < self.mqtt_connections:
            raise UsageError(
                f"--mqtt-connections {self.mqtt_connections:,} is more than the {plan.mqtt_devices:,} devices "
                "that send over MQTT: each has one connection, so ask for fewer, or for more --devices."
            )
        return plan

    def _check(self) -> None:
        """Raise UsageError, in a sentence, for what makes no sense."""
        _within("devices", self.devices, 1, MAX_DEVICES)
        _within("connections", self.connections, 1, _MAX_CONNECTIONS)
        _within("mqtt-connections", self.mqtt_connections, 1, MAX_MQTT_CONNECTIONS)
        _within("window", self.window, 1, _MAX_WINDOW)
        _within("watch", self.watch, 0, _MAX_WATCH)
        require(self.rate is None or 0 < self.rate < math.inf, "--rate must be more than 0 readings a second.")
        require(self.seconds is None or 0 < self.seconds < math.inf, "--seconds must be more than 0.")
        require(self.batch is None or self.batch > 0, "--batch must be at least 1 reading.")
        require(self.publish_batch is None or self.publish_batch > 0, "--publish-batch must be at least 1 reading.")
        require(self.seed is None or self.seed >= 0, "--seed must not be negative.")
        require(self.give_up is None or self.give_up >= 0, "--give-up must not be negative.")


def plain(*, metrics: int | None, mixed_kinds: bool) -> Scenario:
    """Return the scenario of a run without one: numbers, half over HTTP and half over MQTT. Raises UsageError."""
    _within("metrics", metrics, 1, _MAX_METRICS)
    fleet = FleetSpec(
        model="numbers", devices=1_000, rate=20_000, mqtt=0.5, metrics=metrics or 5, mixed_kinds=mixed_kinds
    )
    return Scenario(title="numbers at a steady rate", fleets=(fleet,), register=False)


def overridden(scenario: Scenario, asked: LoadOptions) -> Scenario:
    """Return the scenario with what was asked for: devices, rate and time shared as they were. Raises UsageError."""
    devices = _factor(asked.devices, scenario.devices)
    rate = _factor(asked.rate, scenario.rate)
    seconds = _factor(asked.seconds, scenario.duration)
    given = {name: getattr(asked, name) for name in _KEPT}
    return replace(
        scenario,
        fleets=tuple(_fleet(spec, asked, devices, rate) for spec in scenario.fleets),
        phases=tuple(replace(phase, seconds=phase.seconds * seconds) for phase in scenario.phases),
        seconds=scenario.seconds * seconds,
        **{name: value for name, value in given.items() if value is not None},
    )


def _fleet(spec: FleetSpec, asked: LoadOptions, devices: float, rate: float) -> FleetSpec:
    mqtt = spec.mqtt if asked.transport is None else _MQTT_SHARE[asked.transport]
    count = max(1, round(spec.devices * devices))
    require(count > 1 or asked.transport != "mixed", "--transport mixed needs at least 2 devices.")
    return replace(
        spec,
        devices=count,
        rate=spec.rate * rate,
        mqtt=mqtt,
        batch=asked.batch or spec.batch,
        publish_batch=asked.publish_batch or asked.batch or spec.publish_batch,
        shapes=(asked.shape,) if asked.shape else spec.shapes,
    )


def _factor(asked: float | None, now: float) -> float:
    return 1.0 if asked is None else asked / now


def _within(name: str, value: int | None, low: int, high: int) -> None:
    require(value is None or low <= value <= high, f"--{name} must be from {low} to {high:,}.")
