"""The plan of a run, who sends what to which target, and when: a scenario, a name and a start in, its parts out. Pure.

A part is some devices of one fleet over one transport, sent by one process. The same plan makes the same bytes, so a
ledger keeps the plan, and of each post only what became of it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec
from msgspec import Struct

from simulator.core.chance import hash_name
from simulator.core.errors import UsageError, require
from simulator.plan.faults import Draw, Fault
from simulator.plan.fleet import Fleet, Lane, Transport
from simulator.plan.metrics import DOOR, FIRMWARE_VERSION, MODELS, Metric, numbers
from simulator.plan.scenario import Compression, FleetSpec, Scenario, Shape
from simulator.plan.schedule import Timetable

TargetKind = Literal["gateway", "influx", "custom"]


class TargetSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A target by name. `adapter` is the path of a Python file, `db` and `org` are InfluxDB's. Never holds a secret."""

    kind: TargetKind = "gateway"
    adapter: str = ""
    db: str = ""
    org: str = ""

    @property
    def title(self) -> str:
        """What reports call it."""
        return Path(self.adapter).name if self.kind == "custom" else self.kind


_MAX_RUN = 10
"""Messages of one device in an item that can hold several, over HTTP."""
_MAX_AHEAD_S = 60
"""Seconds that reading times may run ahead of the clock; a gateway refuses what is too far ahead."""
_MAX_POSTS = 500_000_000
"""The ledger keeps a byte of each."""
_MAX_NAME = 40
_MAX_WORKERS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one process sends of one fleet over one transport; `index` counts the parts of the plan."""

    index: int
    worker: int
    title: str
    fleet: Fleet
    lane: Lane
    shapes: tuple[Shape, ...]
    compression: tuple[Compression, ...]
    timetable: Timetable
    draw: Draw
    connections: int = 0
    """Over MQTT: as many, at most one for each device."""

    def shape(self, post: int) -> Shape:
        """Return how the body of a post is written."""
        return self.shapes[post % len(self.shapes)]


class _Share(NamedTuple):
    """Some devices of a fleet, and who sends for them."""

    spec: FleetSpec
    fleet: Fleet
    transport: Transport
    worker: int
    first: int
    devices: int


class Plan(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A run in full. `start_ms` is the time of the first reading, `began_ms` our own; both in ms since 1970.

    `left_out` are faults that are none for this gateway.
    """

    scenario: Scenario
    run: str
    start_ms: int
    began_ms: int = 0
    workers: int = 1
    left_out: tuple[Fault, ...] = ()
    target: TargetSpec = TargetSpec()

    def __post_init__(self) -> None:
        """Raise UsageError, in a sentence, for what makes no sense."""
        good_name = self.run.isascii() and self.run.replace("-", "").isalnum() and len(self.run) <= _MAX_NAME
        require(good_name, f"--run must be 1 to {_MAX_NAME} letters, digits and hyphens.")
        require(1 <= self.workers <= _MAX_WORKERS, f"--workers must be from 1 to {_MAX_WORKERS}.")

    @property
    def prefix(self) -> str:
        """What the names of all devices of the run begin with."""
        return f"sim-{self.scenario.seed}-{self.run}"

    @property
    def fleets(self) -> tuple[Fleet, ...]:
        """The fleets, as the scenario lists them. Raises UsageError for two of one name."""
        titles = [spec.title for spec in self.scenario.fleets]
        require(len(set(titles)) == len(titles), "Two fleets have the same name: give them a `name` each.")
        return tuple(self._fleet(spec) for spec in self.scenario.fleets)

    def _fleet(self, spec: FleetSpec) -> Fleet:
        alone = len(self.scenario.fleets) == 1
        return Fleet(self.prefix if alone else f"{self.prefix}-{spec.title}", self.scenario.seed, metrics_of(spec))

    def parts(self) -> tuple[Part, ...]:
        """Return the parts, in a fixed order. Raises UsageError for what cannot be sent as asked."""
        shares = [
            _Share(spec, fleet, transport, worker, first, count)
            for spec, fleet in zip(self.scenario.fleets, self.fleets, strict=True)
            for transport, begin, devices in _shares(spec)
            for worker, first, count in _slices(begin, devices, self.workers)
        ]
        over_mqtt = [share.devices if share.transport == "mqtt" else 0 for share in shares]
        connections = _spread(self.scenario.mqtt_connections, over_mqtt)
        return tuple(
            self._part(index, share, count)
            for index, (share, count) in enumerate(zip(shares, connections, strict=True))
        )

    @property
    def mqtt_devices(self) -> int:
        """Devices that send over MQTT."""
        shares = (share for spec in self.scenario.fleets for share in _shares(spec))
        return sum(devices for transport, _, devices in shares if transport == "mqtt")

    def _part(self, index: int, share: "_Share", connections: int) -> Part:
        scenario, spec, fleet = self.scenario, share.spec, share.fleet
        lane, timetable = self._lane(share)
        return Part(
            index=index,
            worker=share.worker,
            title=spec.title,
            fleet=fleet,
            lane=lane,
            shapes=_shapes(spec, lane),
            compression=spec.compression if lane.transport == "http" else ("none",),
            timetable=timetable,
            connections=connections,
            draw=Draw(
                scenario.faults,
                scenario.gateway,
                lane,
                fleet.metrics,
                salt=hash_name(f"{spec.title}/{lane.transport}/{lane.first}", seed=scenario.seed),
                left_out=self.left_out,
            ),
        )

    def _lane(self, share: "_Share") -> tuple[Lane, Timetable]:
        scenario, spec, transport, devices = self.scenario, share.spec, share.transport, share.devices
        metrics = len(share.fleet.metrics)
        batch = spec.batch if transport == "http" else spec.publish_batch or spec.batch
        messages = max(1, batch // metrics)
        run = messages
        if transport == "http":
            run = min(messages, _MAX_RUN) if {"readings", "columns"} & set(spec.shapes) else 1
            messages = messages // run * run
        rate = spec.rate * devices / spec.devices / (messages * metrics)
        timetable = Timetable(scenario.timeline, rate=rate)
        require(timetable.posts <= _MAX_POSTS, f"A run is at most {_MAX_POSTS:,} posts: use a larger --batch.")
        peak = max(max(phase.begin, phase.end) for phase in scenario.timeline)
        interval_ms = 1_000 * devices / (rate * peak * messages) * scenario.speed
        lane = Lane(
            transport=transport, first=share.first, devices=devices, metrics=metrics, messages=messages, run=run,
            posts=timetable.posts, rate=rate, start_ms=self.start_ms, step_ms=max(1, int(interval_ms)),
        )  # fmt: skip
        self._check_clock(lane, interval_ms)
        return lane, timetable

    def _check_clock(self, lane: Lane, interval_ms: float) -> None:
        scenario = self.scenario
        ahead = (lane.time_ms(lane.depth - 1) - self.start_ms) / 1_000 - scenario.duration - scenario.ago
        if ahead > _MAX_AHEAD_S and interval_ms < 1:
            least = int(lane.devices / interval_ms) + 1
            raise UsageError(
                f"Each device would report more than once a millisecond, and its clock run {ahead:.0f} s ahead: "
                f"use --devices {least} or more, a lower --rate, or more --metrics."
            )
        require(
            scenario.speed <= 1 or ahead <= _MAX_AHEAD_S,
            f"The readings would end {ahead:.0f} s in the future: give the scenario a larger `ago`, or less `speed`.",
        )

    def to_json(self) -> bytes:
        """Return it as the ledger keeps it."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1)


def metrics_of(spec: FleetSpec) -> tuple[Metric, ...]:
    """Return what each device of a fleet reports."""
    if spec.model != "numbers":
        return MODELS[spec.model]
    return numbers(spec.metrics) + ((DOOR, FIRMWARE_VERSION) if spec.mixed_kinds else ())


def _shares(spec: FleetSpec) -> Iterator[tuple[Transport, int, int]]:
    """Yield each transport's devices, as (first, how many): a share that is not 0 has at least one device."""
    over_mqtt = round(spec.devices * spec.mqtt)
    if spec.devices > 1:
        over_mqtt = min(max(over_mqtt, spec.mqtt > 0), spec.devices - (spec.mqtt < 1))
    over_http = spec.devices - over_mqtt
    if over_http:
        yield "http", 0, over_http
    if over_mqtt:
        yield "mqtt", over_http, over_mqtt


def _slices(first: int, devices: int, workers: int) -> Iterator[tuple[int, int, int]]:
    """Yield (worker, first, how many) for each worker that has a share of these devices."""
    bounds = [first + devices * worker // workers for worker in range(workers + 1)]
    for worker, (begin, end) in enumerate(pairwise(bounds)):
        if end > begin:
            yield worker, begin, end - begin


def _spread(connections: int, devices: Sequence[int]) -> list[int]:
    """Return how many connections go to each of these groups of devices: in proportion, one at least, no idle one."""
    total = sum(devices)
    wanted = min(connections, total)
    bounds = [wanted * before // max(1, total) for before in accumulate(devices, initial=0)]
    return [max(end - begin, min(1, count)) for (begin, end), count in zip(pairwise(bounds), devices, strict=True)]


def _shapes(spec: FleetSpec, lane: Lane) -> tuple[Shape, ...]:
    """Return the shapes of bodies; several messages of one device in a publish go as `readings`."""
    if lane.transport == "http" or lane.messages == 1:
        return spec.shapes
    return tuple("readings" if shape == "values" else shape for shape in spec.shapes)
