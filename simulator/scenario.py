"""What a run is to do: options in, lanes out; refuses what cannot be run as asked. Pure: the clock comes in."""

import math
from dataclasses import dataclass
from typing import Literal

from simulator.devices.metrics import DOOR, FIRMWARE_VERSION, Metric, numbers
from simulator.encode import Shape
from simulator.errors import UsageError
from simulator.fleet import Fleet
from simulator.lane import Lane, Transport

Mix = Literal["http", "mqtt", "mixed"]

_MAX_RUN = 10
"""Messages of one device in an item that can hold several, over HTTP."""
_MAX_AHEAD_S = 60
"""Seconds that reading times may run ahead of the clock; a gateway refuses what is too far ahead."""
_MAX_DEVICES = 1_000_000
_MAX_NAME = 40
_MAX_POSTS = 500_000_000
"""The ledger keeps a byte of each in memory."""
_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One run, in full: the same scenario makes the same bytes. `rate` in readings/s over all transports."""

    devices: int
    rate: float
    seconds: float
    transport: Mix
    batch: int
    publish_batch: int
    metrics: int
    mixed_kinds: bool
    shape: Shape
    seed: int
    run: str
    start_ms: int

    def __post_init__(self) -> None:
        """Raise UsageError, in a sentence, for what makes no sense."""
        _require(1 <= self.devices <= _MAX_DEVICES, f"--devices must be from 1 to {_MAX_DEVICES:,}.")
        _require(0 < self.rate < math.inf, "--rate must be more than 0 readings a second.")
        _require(0 < self.seconds < math.inf, "--seconds must be more than 0.")
        _require(self.batch > 0, "--batch must be at least 1 reading.")
        _require(self.publish_batch > 0, "--publish-batch must be at least 1 reading.")
        _require(1 <= self.metrics <= 500, "--metrics must be from 1 to 500.")  # noqa: PLR2004 - the API's own limit
        _require(self.seed >= 0, "--seed must not be negative.")
        _require(self.devices > 1 or self.transport != "mixed", "--transport mixed needs at least 2 devices.")
        good_name = self.run.isascii() and self.run.replace("-", "").isalnum() and len(self.run) <= _MAX_NAME
        _require(good_name, f"--run must be 1 to {_MAX_NAME} letters, digits and hyphens.")

    @property
    def kinds(self) -> tuple[Metric, ...]:
        """The metrics of each device."""
        return numbers(self.metrics) + ((DOOR, FIRMWARE_VERSION) if self.mixed_kinds else ())

    @property
    def fleet(self) -> Fleet:
        """The devices of the run."""
        return Fleet(f"sim-{self.seed}-{self.run}", self.seed, self.kinds)

    def shape_over(self, transport: Transport) -> Shape:
        """Return the shape of bodies; several messages of one device in a publish go as `readings`."""
        several = self.publish_batch // len(self.kinds) > 1
        return "readings" if transport == "mqtt" and self.shape == "values" and several else self.shape

    def lanes(self) -> tuple[Lane, ...]:
        """Return a lane for each transport, each with its share of the devices and of the rate. Raises UsageError."""
        if self.transport == "http":
            return (self._http(0, self.devices),)
        if self.transport == "mqtt":
            return (self._mqtt(0, self.devices),)
        half = self.devices // 2
        return (self._http(0, half), self._mqtt(half, self.devices - half))

    def _http(self, first: int, devices: int) -> Lane:
        messages = max(1, self.batch // len(self.kinds))
        run = min(messages, _MAX_RUN) if self.shape in {"readings", "columns"} else 1
        return self._lane("http", first=first, devices=devices, messages=messages // run * run, run=run)

    def _mqtt(self, first: int, devices: int) -> Lane:
        messages = max(1, self.publish_batch // len(self.kinds))
        return self._lane("mqtt", first=first, devices=devices, messages=messages, run=messages)

    def _lane(self, transport: Transport, *, first: int, devices: int, messages: int, run: int) -> Lane:
        rate = self.rate * devices / self.devices / (messages * len(self.kinds))
        _require(rate * self.seconds <= _MAX_POSTS, f"A run is at most {_MAX_POSTS:,} posts: use a larger --batch.")
        interval_ms = 1_000 * devices / (rate * messages)
        lane = Lane(
            transport=transport,
            first=first,
            devices=devices,
            metrics=len(self.kinds),
            messages=messages,
            run=run,
            posts=max(1, round(rate * self.seconds)),
            rate=rate,
            start_ms=self.start_ms,
            step_ms=max(1, int(interval_ms)),
        )
        ahead = (lane.time_ms(lane.depth) - self.start_ms) / 1_000 - self.seconds
        if interval_ms < 1 and ahead > _MAX_AHEAD_S:
            least = int(self.devices / interval_ms) + 1
            raise UsageError(
                f"Each device would report more than once a millisecond, and its clock run {ahead:.0f} s ahead: "
                f"use --devices {least} or more, a lower --rate, or more --metrics."
            )
        return lane


def run_id(start_ms: int) -> str:
    """Return a short name for a run that starts at this time: two runs a millisecond apart do not collide."""
    digits = []
    while start_ms:
        start_ms, digit = divmod(start_ms, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits)) or "0"


def _require(condition: bool, message: str) -> None:  # noqa: FBT001 - reads as a sentence at the call
    if not condition:
        raise UsageError(message)
