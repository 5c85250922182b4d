"""Metrics: their names, their kinds, and how codes become the values that devices say. Pure."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from simulator.core.chance import Ints, hash_name
from simulator.plan.devices.values import Chance, Day, Movement, Turns

Kind = Literal["double", "int", "bool", "text"]
Value = float | int | bool | str

FIRMWARE = ("2.3.7", "2.3.8", "2.4.0-β", "2.4.0", "2.4.1", "3.0.0 (a, b)", "3.0.1", "3.1.0")
"""Texts with what tends to break: a letter beyond ASCII, blanks, a comma, brackets."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of every device of a fleet.

    A double is its code divided by `divisor`, a text is one of `texts`. An int is written without a fraction; the
    gateway keeps it as a double unless the metric is declared as int there.
    """

    name: str
    kind: Kind
    movement: Movement
    divisor: int = 100
    texts: tuple[str, ...] = ()

    def codes(self, device: Ints, n: Ints, *, seed: int) -> Ints:
        """Return the codes of the n-th messages of the devices; the two arrays broadcast."""
        return self.movement.codes(device, n, salt=hash_name(self.name, seed=seed))

    def values(self, codes: Ints) -> npt.NDArray[Any]:
        """Return what the device says for these codes: float64, int64, bool, or object (str)."""
        match self.kind:
            case "bool":
                return codes.astype(np.bool_)
            case "text":
                return np.array(self.texts, dtype=object)[codes]
            case "int":
                return codes
            case "double":
                return codes / self.divisor

    @property
    def stored_as(self) -> tuple[Kind, ...]:
        """The kinds under which a gateway may keep it."""
        return ("int", "double") if self.kind == "int" else (self.kind,)


def _number(name: str, low: int, high: int, divisor: int = 100) -> Metric:
    return Metric(name, "double", Day(low, high), divisor)


# `current` is in thirds, so that its values need all seventeen digits and a number printed short is found out.
_NUMBERS = (
    _number("temperature", -1500, 4200),
    _number("humidity", 1000, 9900),
    _number("pressure", 96000, 104500),
    _number("voltage", 220000, 240000, 1000),
    _number("current", 0, 48000, 3000),
    _number("battery", 300, 420),
    _number("co2", 40000, 180000),
    _number("illuminance", 0, 9000000),
    _number("rssi", -11000, -4000),
    _number("wind_speed", 0, 3200),
)
DOOR = Metric("door_open", "bool", Chance(every=8))
FIRMWARE_VERSION = Metric("firmware", "text", Turns(count=len(FIRMWARE), every=500), texts=FIRMWARE)


def numbers(count: int) -> tuple[Metric, ...]:
    """Return so many metrics of kind double: the well-known names first, then numbered channels."""
    further = range(len(_NUMBERS) + 1, count + 1)
    channels = tuple(_number(f"channel_{i:02d}", -100_000 - i, 100_000 + i) for i in further)
    return _NUMBERS[:count] + channels


DEMO = (_NUMBERS[0], _NUMBERS[1], _NUMBERS[5], DOOR, FIRMWARE_VERSION)
"""What a device of `simulator demo` reports."""
