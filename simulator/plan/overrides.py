"""Scenarios as the command line changes them: a scenario and what was asked for in, another scenario out. Pure."""

import math
from typing import Literal

from msgspec import Struct
from msgspec.structs import asdict, replace

from simulator.core.errors import UsageError
from simulator.plan.scenario import MAX_DEVICES, MAX_MQTT_CONNECTIONS, FleetSpec, Phase, Scenario, Shape

Mix = Literal["http", "mqtt", "mixed"]

_MQTT_SHARE: dict[Mix, float] = {"http": 0.0, "mqtt": 1.0, "mixed": 0.5}
_MAX_METRICS = 500
"""The gateway's own limit of metrics in a device."""
_MAX_CONNECTIONS = 1_000
_MAX_WINDOW = 65_535
"""Packet identifiers have 16 bits."""
_MAX_WATCH = 100
"""So many names fit into the address of a stream."""


class Overrides(Struct, frozen=True, kw_only=True):
    """What was asked for; None where the scenario decides."""

    devices: int | None = None
    rate: float | None = None
    seconds: float | None = None
    transport: Mix | None = None
    batch: int | None = None
    publish_batch: int | None = None
    shape: Shape | None = None
    seed: int | None = None
    connections: int | None = None
    mqtt_connections: int | None = None
    window: int | None = None
    give_up: float | None = None
    watch: int | None = None

    def check(self) -> None:
        """Raise UsageError, in a sentence, for what makes no sense."""
        _within("devices", self.devices, 1, MAX_DEVICES)
        _within("connections", self.connections, 1, _MAX_CONNECTIONS)
        _within("mqtt-connections", self.mqtt_connections, 1, MAX_MQTT_CONNECTIONS)
        _within("window", self.window, 1, _MAX_WINDOW)
        _within("watch", self.watch, 0, _MAX_WATCH)
        _require(self.rate is None or 0 < self.rate < math.inf, "--rate must be more than 0 readings a second.")
        _require(self.seconds is None or 0 < self.seconds < math.inf, "--seconds must be more than 0.")
        _require(self.batch is None or self.batch > 0, "--batch must be at least 1 reading.")
        _require(self.publish_batch is None or self.publish_batch > 0, "--publish-batch must be at least 1 reading.")
        _require(self.seed is None or self.seed >= 0, "--seed must not be negative.")
        _require(self.give_up is None or self.give_up >= 0, "--give-up must not be negative.")


def plain(*, metrics: int | None, mixed_kinds: bool) -> Scenario:
    """Return the scenario of a run without one: numbers, half over HTTP and half over MQTT. Raises UsageError."""
    _within("metrics", metrics, 1, _MAX_METRICS)
    fleet = FleetSpec(
        model="numbers", devices=1_000, rate=20_000, mqtt=0.5, metrics=metrics or 5, mixed_kinds=mixed_kinds
    )
    return Scenario(title="numbers at a steady rate", fleets=(fleet,), enrol=False)


def overridden(scenario: Scenario, asked: Overrides) -> Scenario:
    """Return the scenario with what was asked for: devices, rate and time shared as they were. Raises UsageError."""
    asked.check()
    devices = _factor(asked.devices, scenario.devices)
    rate = _factor(asked.rate, scenario.rate)
    seconds = _factor(asked.seconds, scenario.duration)
    given = {name: value for name, value in asdict(asked).items() if value is not None}
    kept = {name: given[name] for name in _KEPT if name in given}
    return replace(
        scenario,
        fleets=tuple(_fleet(spec, asked, devices, rate) for spec in scenario.fleets),
        phases=tuple(_longer(phase, seconds) for phase in scenario.phases),
        seconds=scenario.seconds * seconds,
        **kept,
    )


_KEPT = ("seed", "connections", "mqtt_connections", "window", "give_up", "watch")


def _fleet(spec: FleetSpec, asked: Overrides, devices: float, rate: float) -> FleetSpec:
    mqtt = spec.mqtt if asked.transport is None else _MQTT_SHARE[asked.transport]
    count = max(1, round(spec.devices * devices))
    _require(count > 1 or asked.transport != "mixed", "--transport mixed needs at least 2 devices.")
    return replace(
        spec,
        devices=count,
        rate=spec.rate * rate,
        mqtt=mqtt,
        batch=asked.batch or spec.batch,
        publish_batch=asked.publish_batch or asked.batch or spec.publish_batch,
        shapes=(asked.shape,) if asked.shape else spec.shapes,
    )


def _longer(phase: Phase, factor: float) -> Phase:
    return replace(phase, seconds=phase.seconds * factor)


def _factor(asked: float | None, now: float) -> float:
    return 1.0 if asked is None else asked / now


def _within(name: str, value: int | None, low: int, high: int) -> None:
    _require(value is None or low <= value <= high, f"--{name} must be from {low} to {high:,}.")


def _require(condition: bool, message: str) -> None:  # noqa: FBT001 - reads as a sentence at the call
    if not condition:
        raise UsageError(message)
