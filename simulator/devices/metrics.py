"""Metrics and the values devices report: (seed, device, metric, n) in, codes out. Pure: no clock, no randomness.

A *code* is a small integer from which the reading's value follows exactly: hundredths of a degree, 0 or 1, an index
into a list of texts. Everything is decided in integers, so that a seed gives the same bytes on every machine, and a
whole array of readings can be made, or checked, at once.
"""

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

Ints: TypeAlias = npt.NDArray[np.int64]
Kind = Literal["double", "bool", "text"]
Value = float | bool | str

_PERIOD = 240
"""Messages in one full swing of a number, up and down again."""
_NOISE = 64
"""The noise on a number is one part in this of its span, to either side."""
_OPEN_EVERY = 8
"""A bool is true once in so many messages, at random."""
_TEXT_EVERY = 500
"""Messages for which a text stays the same."""

FIRMWARE = ("2.3.7", "2.3.8", "2.4.0-β", "2.4.0", "2.4.1", "3.0.0 (a, b)", "3.0.1", "3.1.0")
"""Texts with what tends to break: a letter beyond ASCII, blanks, a comma, brackets."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of every device of a fleet: its name, its kind, and how codes become values."""

    name: str
    kind: Kind
    low: int = 0
    high: int = 1
    divisor: int = 100
    texts: tuple[str, ...] = ()

    def codes(self, device: Ints, n: Ints, *, seed: int) -> Ints:
        """Return the codes of the n-th messages of the devices; the two arrays broadcast."""
        noise = _mix(device, n, salt=hash_name(self.name, seed=seed))
        if self.kind == "bool":
            return np.asarray(noise % _OPEN_EVERY == 0, dtype=np.int64)
        phase = _mix(device, np.int64(0), salt=hash_name(self.name, seed=seed + 1))
        if self.kind == "text":
            return np.asarray((phase + n // _TEXT_EVERY) % len(self.texts))
        swing = np.abs(2 * ((n + phase) % _PERIOD) - _PERIOD)
        spread = max(1, (self.high - self.low) // _NOISE)
        code = self.low + (self.high - self.low) * swing // _PERIOD + noise % (2 * spread + 1) - spread
        return np.asarray(np.clip(code, self.low, self.high))

    def values(self, codes: Ints) -> npt.NDArray[Any]:
        """Return what the device says for these codes: float64, bool, or object (str)."""
        if self.kind == "bool":
            return codes.astype(np.bool_)
        if self.kind == "text":
            return np.array(self.texts, dtype=object)[codes]
        return codes / self.divisor


def hash_name(name: str, *, seed: int) -> int:
    """Return 64 bits that depend on every byte of the name and on the seed (FNV-1a)."""
    state = 0xCBF29CE484222325 ^ (seed & 0xFFFFFFFFFFFFFFFF)
    for byte in name.encode():
        state = (state ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return state


def _mix(device: Ints, n: Ints | np.int64, *, salt: int) -> Ints:
    """Return 31 well-mixed bits for each (device, n), as the splitmix64 finaliser gives them."""
    device_key = device.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    x = device_key + n.astype(np.uint64) * np.uint64(0xD1B54A32D192ED03) + np.uint64(salt)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((x ^ (x >> np.uint64(31))) >> np.uint64(33)).astype(np.int64)


# `current` is in thirds, so that its values need all seventeen digits and a number printed short is found out.
_NUMBERS = (
    Metric("temperature", "double", low=-1500, high=4200),
    Metric("humidity", "double", low=1000, high=9900),
    Metric("pressure", "double", low=96000, high=104500),
    Metric("voltage", "double", low=220000, high=240000, divisor=1000),
    Metric("current", "double", low=0, high=48000, divisor=3000),
    Metric("battery", "double", low=300, high=420),
    Metric("co2", "double", low=40000, high=180000),
    Metric("illuminance", "double", low=0, high=9000000),
    Metric("rssi", "double", low=-11000, high=-4000),
    Metric("wind_speed", "double", low=0, high=3200),
)
DOOR = Metric("door_open", "bool")
FIRMWARE_VERSION = Metric("firmware", "text", texts=FIRMWARE)


def numbers(count: int) -> tuple[Metric, ...]:
    """Return so many metrics of kind double: the well-known names first, then numbered channels."""
    further = range(len(_NUMBERS) + 1, count + 1)
    channels = tuple(Metric(f"channel_{i:02d}", "double", low=-100_000 - i, high=100_000 + i) for i in further)
    return _NUMBERS[:count] + channels


DEMO = (_NUMBERS[0], _NUMBERS[1], _NUMBERS[5], DOOR, FIRMWARE_VERSION)
"""What a device of `simulator demo` reports."""
