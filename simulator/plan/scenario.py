"""Scenarios: what their TOML files may say, typed, and those that come with the simulator. Reads only.

`plan` works out from a scenario who sends what, and when.
"""

from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from simulator.core.errors import UsageError
from simulator.plan.metrics import ModelName

Shape = Literal["flat", "values", "readings", "columns"]
Compression = Literal["none", "gzip", "zstd"]

Count = Annotated[int, Meta(ge=1)]
Rate = Annotated[float, Meta(ge=0, le=1)]
Factor = Annotated[float, Meta(ge=0, le=100)]
Seconds = Annotated[float, Meta(gt=0, le=31_536_000)]
MAX_DEVICES = 1_000_000
MAX_MQTT_CONNECTIONS = 20_000
"""From one address to one port of a broker there are 28,000 at most, unless the kernel is told otherwise."""
_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"


class FleetSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Devices of one model, and how they send."""

    model: Annotated[ModelName, Meta(description="What the devices are.")]
    devices: Annotated[int, Meta(ge=1, le=MAX_DEVICES, description="How many.")]
    rate: Annotated[float, Meta(gt=0, description="Readings offered a second by all of them, at full rate.")]
    name: Annotated[str, Meta(pattern="^[a-z0-9_]{0,20}$", description="Part of their names; else the model.")] = ""
    mqtt: Annotated[float, Meta(ge=0, le=1, description="Share of the devices that send over MQTT.")] = 0.0
    batch: Annotated[Count, Meta(description="Readings in a request, of several devices.")] = 50
    publish_batch: Annotated[int, Meta(ge=0, description="Readings in a publish; 0: as in a request.")] = 0
    shapes: Annotated[tuple[Shape, ...], Meta(min_length=1, description="How bodies are written: these in turn.")] = (
        "values",
    )
    compression: Annotated[
        tuple[Compression, ...], Meta(min_length=1, description="How HTTP bodies are compressed: these in turn.")
    ] = ("none",)
    metrics: Annotated[int, Meta(ge=1, le=500, description="Numbers of each device; of `numbers` only.")] = 5
    mixed_kinds: Annotated[bool, Meta(description="Add a bool and a text to them; of `numbers` only.")] = False

    @property
    def title(self) -> str:
        """The fleet's name."""
        return self.name or self.model.replace("_", "-")


class Phase(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A stretch of time in which the rate is steady, or rises or falls evenly."""

    name: Annotated[str, Meta(min_length=1, max_length=20)]
    seconds: Seconds
    begin: Annotated[Factor, Meta(description="Times the full rate, when it begins.")] = 1.0
    end: Annotated[Factor, Meta(description="Times the full rate, when it ends.")] = 1.0


class FaultRates(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many of the posts get each fault, as a share of 1; docs/simulator.md says what each does."""

    late: Rate = 0.0
    out_of_order: Rate = 0.0
    duplicate: Rate = 0.0
    conflict: Rate = 0.0
    clock_skew: Rate = 0.0
    nan: Rate = 0.0
    type_flip: Rate = 0.0
    nul: Rate = 0.0
    oversize: Rate = 0.0
    unknown_device: Rate = 0.0
    bad_token: Rate = 0.0
    malformed_json: Rate = 0.0
    truncated_gzip: Rate = 0.0
    slow_socket: Rate = 0.0
    disconnect: Rate = 0.0
    churn: Rate = 0.0
    storm: Rate = 0.0


class Assumed(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The gateway's settings that decide what the right answer is; the defaults are the gateway's."""

    unknown: Annotated[
        Literal["ask", "auto", "refuse"], Meta(description="devices.unknown; `ask` finds out by one reading.")
    ] = "ask"
    kind_change: Annotated[Literal["keep", "refuse"], Meta(description="devices.kind_change")] = "keep"
    conflict: Annotated[Literal["refuse", "overwrite"], Meta(description="devices.conflict")] = "refuse"
    ahead: Annotated[Literal["refuse", "clamp"], Meta(description="clock.ahead")] = "refuse"
    max_body_bytes: Annotated[Count, Meta(description="http.max_body_bytes")] = 8 * 2**20
    body_deadline_secs: Annotated[Seconds, Meta(description="http.body_deadline_secs")] = 30.0


class Scenario(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One way to use a gateway: who sends what, how fast, and what goes wrong on the way."""

    title: Annotated[str, Meta(min_length=1, max_length=200, description="What it is, in a sentence.")]
    fleets: Annotated[tuple[FleetSpec, ...], Meta(min_length=1, max_length=20)]
    seconds: Annotated[Seconds, Meta(description="How long, if there are no phases.")] = 20.0
    phases: Annotated[tuple[Phase, ...], Meta(max_length=50, description="One after the other.")] = ()
    faults: FaultRates = FaultRates()
    gateway: Assumed = Assumed()
    seed: Annotated[int, Meta(ge=0, le=2**31, description="Decides every value and every fault.")] = 1
    ago: Annotated[float, Meta(ge=0, description="Seconds before now at which the readings begin.")] = 0.0
    speed: Annotated[float, Meta(gt=0, description="Seconds of the readings' time in a second of ours.")] = 1.0
    connections: Annotated[int, Meta(ge=1, le=1_000, description="HTTP connections.")] = 16
    mqtt_connections: Annotated[
        int, Meta(ge=1, le=MAX_MQTT_CONNECTIONS, description="MQTT connections, at most one for each device.")
    ] = 4
    window: Annotated[
        int, Meta(ge=1, le=65_535, description="MQTT messages on the way on each connection; 200,000 on a fleet's.")
    ] = 1_000
    give_up: Annotated[
        float, Meta(ge=0, description="Seconds after which a post is neither started nor sent again.")
    ] = 60.0
    watch: Annotated[
        int, Meta(ge=0, le=100, description="Devices watched in the state and in the live stream; 0: none.")
    ] = 20
    register: Annotated[
        bool, Meta(description="Register the devices and a key of their own first, remove them in the end.")
    ] = True

    @property
    def timeline(self) -> tuple[Phase, ...]:
        """The phases; a single one at full rate if none are given."""
        return self.phases or (Phase(name="all", seconds=self.seconds),)

    @property
    def duration(self) -> float:
        """Seconds from the first post to the last."""
        return sum(phase.seconds for phase in self.timeline)

    @property
    def devices(self) -> int:
        """Devices of all fleets."""
        return sum(fleet.devices for fleet in self.fleets)

    @property
    def rate(self) -> float:
        """Readings a second of all fleets, at full rate."""
        return sum(fleet.rate for fleet in self.fleets)


def schema() -> bytes:
    """Return the JSON Schema (2020-12) of a scenario file."""
    return msgspec.json.format(msgspec.json.encode(msgspec.json.schema(Scenario)), indent=2)


def run_id(start_ms: int) -> str:
    """Return a short name for a run that starts at this time: two runs a millisecond apart do not collide."""
    digits = []
    while start_ms:
        start_ms, digit = divmod(start_ms, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits)) or "0"


_SUFFIX = ".toml"
_MAX_BYTES = 1_000_000


def names() -> list[str]:
    """Return the names of the scenarios that come with the simulator."""
    files = (resources.files("simulator.plan") / "scenarios").iterdir()
    return sorted(file.name.removesuffix(_SUFFIX) for file in files if file.name.endswith(_SUFFIX))


def listed() -> Iterator[tuple[str, Scenario]]:
    """Yield them, each by its name."""
    for name in names():
        yield name, find(name)


def find(name: str) -> Scenario:
    """Return the scenario of this name, or in this file. Raises UsageError."""
    if name in names():
        return parse((resources.files("simulator.plan") / "scenarios" / f"{name}{_SUFFIX}").read_bytes(), where=name)
    path = Path(name)
    if not path.is_file():
        raise UsageError(f"There is no scenario {name!r}, and no such file. There are {', '.join(names())}.")
    try:
        with path.open("rb") as file:
            return parse(file.read(_MAX_BYTES), where=name)
    except OSError as error:
        raise UsageError(f"The scenario {name} cannot be read: {error}.") from error


def parse(text: bytes, *, where: str) -> Scenario:
    """Read a scenario's TOML. Raises UsageError, which names the place in it."""
    try:
        said: dict[str, object] = msgspec.toml.decode(text)
        if "enrol" in said:  # its name before this release
            said["register"] = said.pop("enrol")
        return msgspec.convert(said, Scenario)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:  # ValidationError is a DecodeError
        raise UsageError(
            f"The scenario {where} makes no sense: {error}. `simulator schema` tells what may be said."
        ) from error
