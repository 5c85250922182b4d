"""Metrics and device models: names, kinds, and how codes become the values that devices say. Pure."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from simulator.core.chance import Ints, hash_name
from simulator.plan.values import Burst, Chain, Chance, Counter, Day, Drain, Movement, Turns, Walk

ValueKind = Literal["double", "int", "bool", "text"]
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
    kind: ValueKind
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
    def stored_as(self) -> tuple[ValueKind, ...]:
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


ModelName = Literal[
    "weather_station", "energy_meter", "vehicle", "machine_vibration", "door", "battery_sensor", "numbers"
]
MODEL_NAMES: tuple[ModelName, ...] = get_args(ModelName)

_MICRO = 1_000_000
_REGISTER = 2**32
"""Where the register of a meter begins anew."""
_MACHINE = ("idle", "running", "réglage", "fault: overload")
_DOOR = ("closed", "opened", "forced", "held open")


_WEATHER = (
    Metric("temperature", "double", Day(-1500, 4200)),
    Metric("humidity", "double", Day(1000, 9900)),
    Metric("pressure", "double", Walk(96_000, 104_500)),
    Metric("wind_speed", "double", Walk(0, 3_200)),
    Metric("wind_direction", "double", Walk(0, 3_599), divisor=10),
    Metric("rain_mm", "double", Counter(step=3, wrap=30_000), divisor=3_000),
)
_METER = (
    Metric("energy_wh", "int", Counter(step=7_000, wrap=_REGISTER)),
    Metric("power", "double", Day(0, 1_150_000)),
    Metric("voltage", "double", Walk(220_000, 240_000), divisor=1_000),
    Metric("current", "double", Walk(0, 48_000), divisor=3_000),
    Metric("frequency", "double", Walk(49_900, 50_100), divisor=1_000),
)
_VEHICLE = (
    Metric("latitude", "double", Walk(48_020_000, 48_290_000, smooth=4), divisor=_MICRO),
    Metric("longitude", "double", Walk(11_300_000, 11_810_000, smooth=4), divisor=_MICRO),
    Metric("speed", "double", Walk(0, 13_000)),
    Metric("heading", "double", Walk(0, 35_999)),
    Metric("odometer_m", "int", Counter(step=900, wrap=10**9)),
    Metric("ignition", "bool", Chain(((900, 124), (24, 1_000)))),
)
_MACHINE_VIBRATION = (
    Metric("vibration_x", "double", Burst(quiet=900, loud=160_000), divisor=10_000),
    Metric("vibration_y", "double", Burst(quiet=700, loud=140_000), divisor=10_000),
    Metric("vibration_z", "double", Burst(quiet=1_200, loud=190_000), divisor=10_000),
    Metric("bearing_temperature", "double", Day(2_000, 9_500, period=1_200)),
    Metric("state", "text", Chain(((900, 100, 24, 0), (20, 980, 16, 8), (200, 300, 524, 0), (300, 0, 100, 624))),
           texts=_MACHINE),
)  # fmt: skip
_DOOR_EVENTS = (
    DOOR,
    Metric("event", "text", Chain(((824, 190, 2, 8), (700, 300, 4, 20), (512, 256, 256, 0), (500, 24, 0, 500))),
           texts=_DOOR),
)  # fmt: skip
_BATTERY = (
    Metric("temperature", "double", Day(-500, 3_500, period=96)),
    Metric("battery", "double", Drain(low=210, high=300, every=40)),
    Metric("rssi", "double", Walk(-11_000, -4_000)),
    Metric("firmware", "text", Turns(count=8, every=200), texts=FIRMWARE_VERSION.texts),
)

MODELS: dict[str, tuple[Metric, ...]] = {
    "weather_station": _WEATHER,  # sines with the curve of a day, and random walks
    "energy_meter": _METER,  # a register of 32 bits that begins anew (int), power, voltage
    "vehicle": _VEHICLE,  # GPS position, speed, heading, odometer (int), ignition (bool)
    "machine_vibration": _MACHINE_VIBRATION,  # bursts on three axes, and the machine's state (text)
    "door": _DOOR_EVENTS,  # events: open or not (bool), and what happened (text)
    "battery_sensor": _BATTERY,  # slow: temperature, a battery that runs down, signal
}
"""All but `numbers`, whose metrics are as many as asked for."""
