"""The works: what a request holds, how many connections send it, and what each side of a measurement tells the other.

Pure data. A *stamp* is one time of one device, with all its metrics: they are what is acknowledged.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple

import msgspec

STEP_MS = 1_000
"""Between two stamps of a device."""
Format = Literal["messages", "nested", "influx", "mqtt"]


class Work(NamedTuple):
    """A request: so many devices, stamps of each, metrics of each stamp."""

    name: str
    devices: int
    stamps: int
    metrics: int
    connections: int

    @property
    def readings(self) -> int:
        """Of a request."""
        return self.devices * self.stamps * self.metrics

    @property
    def title(self) -> str:
        """In words, for a table."""
        over = "MQTT clients, QoS 1" if self.name == "W4" else "connections"
        held = f"{_many(self.devices, 'device')} × {_many(self.stamps, 'time')} × {_many(self.metrics, 'metric')}"
        return f"{held} = {self.readings:,} readings a request, {self.connections} {over}"


def _many(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


WORKS = {
    work.name: work
    for work in (
        Work("W1", 1, 1, 5, 64),
        Work("W2", 1, 20, 5, 64),
        Work("W3", 100, 1, 10, 16),
        Work("W4", 1, 1, 5, 50),
    )
}


class Door(msgspec.Struct):
    """Where a target takes one kind of work: over HTTP at a path, or over MQTT on a topic with the device's name."""

    port: int
    format: Format
    path: str = ""
    authorization: str = ""
    topic: str = ""


class Job(msgspec.Struct):
    """What the load generator is told."""

    work: str
    door: Door
    tag: str
    """Part of the devices' names: those of two jobs are different ones."""
    base_ms: int
    seconds: float
    connections: int
    stop_on_loss: bool = False
    """End a connection that breaks, instead of opening it again."""


class Sent(msgspec.Struct):
    """What the load generator tells."""

    seconds: float
    """Until the last acknowledgement."""
    acknowledged: int
    """Readings."""
    requests: int
    p50_ms: float
    p99_ms: float
    cpu: float
    """Seconds of its own."""
    errors: dict[str, int]
    stamps: dict[str, int]
    """Device → how many of its stamps were acknowledged: the first so many, in order."""


def base_ms() -> int:
    """Return midnight of yesterday (UTC): all stamps of a run are in the past, of one day or two."""
    day = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)
    return int(day.timestamp() * 1000)


def device_names(work: Work, tag: str, connection: int) -> list[str]:
    """Return the devices of a connection; no other has them."""
    if work.devices == 1:
        return [f"d{tag}{connection:02}"]
    return [f"d{tag}{connection:02}-{number:02}" for number in range(work.devices)]


def ends_ms(base: int, stamps: Mapping[str, int]) -> dict[str, int]:
    """Return for each device the time before which its first so many stamps are."""
    return {device: base + count * STEP_MS for device, count in stamps.items()}
