"""Movements of values: (device, n, salt) in, codes out; any n at once, without the ones before it. Pure, in integers.

A *code* is an integer from which the value follows exactly (`metrics.Metric`). Whole arrays are made in one call, to
send them and, later, to check them.
"""

from dataclasses import dataclass
from functools import cache
from typing import Protocol

import numpy as np

from simulator.core.chance import BITS, Ints, mix

_NOISE = 64
"""The noise on a swing is one part in this of its span, to either side."""
_UNIT = 4_096
"""The sine of a right angle, in the integers that `_sine` counts in."""
_PHASE, _START = 0x5DEECE66D, 0x2545F491
"""What tells one draw from another that is about the same device and n."""
_OCTAVES = ((8, 8), (5, 4), (2, 2), (0, 1))
"""A walk is the sum of these: (messages between two turns as a power of 2, weight)."""
_RENEWAL = 16
"""Messages after which a chain of states begins anew, as likely as not where it was: so any n can be worked out."""
_ROW = 1_024
"""What the probabilities of a state's successors add up to."""


class Movement(Protocol):
    """One way in which a value moves."""

    def codes(self, device: Ints, n: Ints, *, salt: int) -> Ints:
        """Return the codes of the n-th messages of the devices; the two arrays broadcast."""


@dataclass(frozen=True, slots=True)
class Day:
    """A sine between `low` and `high` with noise on it: one day is `period` messages, and begins where it likes."""

    low: int
    high: int
    period: int = 240

    def codes(self, device: Ints, n: Ints, *, salt: int) -> Ints:
        """Return the codes, as `Movement` says."""
        span = self.high - self.low
        phase = mix(device, np.int64(0), salt=salt ^ _PHASE)
        swing = self.low + span // 2 + span * _sine(n + phase, self.period) // (2 * _UNIT)
        spread = max(1, span // _NOISE)
        noise = mix(device, n, salt=salt) % (2 * spread + 1) - spread
        return np.asarray(np.clip(swing + noise, self.low, self.high))


def _sine(t: Ints, period: int) -> Ints:
    """Return the sine of t/period turns, in `_UNIT`s (Bhaskara's formula, off by 0.2 % at most)."""
    half = period // 2
    rest = t % period
    u = rest % half
    arc = u * (half - u)
    height = 16 * arc * _UNIT // (5 * half * half - 4 * arc)
    return np.where(rest < half, height, -height)


@dataclass(frozen=True, slots=True)
class Walk:
    """A random walk that stays between `low` and `high`; with `smooth` it takes 2**smooth times as many messages."""

    low: int
    high: int
    smooth: int = 0

    def codes(self, device: Ints, n: Ints, *, salt: int) -> Ints:
        """Return the codes, as `Movement` says."""
        total = sum(weight for _, weight in _OCTAVES)
        heights = (
            weight * _between_turns(device, n, power + self.smooth, salt=salt + power) for power, weight in _OCTAVES
        )
        walk = self.low + ((self.high - self.low) * (sum(heights, np.int64(0)) // total) >> BITS)
        return np.asarray(walk)


def _between_turns(device: Ints, n: Ints, power: int, *, salt: int) -> Ints:
    turn, rest = n >> power, n & ((1 << power) - 1)
    before, after = mix(device, turn, salt=salt), mix(device, turn + 1, salt=salt)
    return before + ((after - before) * rest >> power)


@dataclass(frozen=True, slots=True)
class Counter:
    """A meter's register: grows by up to `step` a message, and begins anew at `wrap`, at first after 400 messages."""

    step: int
    wrap: int

    def codes(self, device: Ints, n: Ints, *, salt: int) -> Ints:
        """Return the codes, as `Movement` says."""
        start = self.wrap - 1 - mix(device, np.int64(0), salt=salt ^ _START) % (400 * self.step)
        return np.asarray((start + n * self.step + mix(device, n, salt=salt) % self.step) % self.wrap)


@dataclass(frozen=True, slots=True)
class Chain:
    """A Markov chain of states: row i holds how likely each follows state i, in parts of 1,024."""

    rows: tuple[tuple[int, ...], ...]

    def codes(self, device: Ints, n: Ints, *, salt: int) -> Ints:
        """Return the codes, as `Movement` says: 0 to the number of states - 1."""
        first, bounds = _bounds(self.rows)
        begin, at = n - n % _RENEWAL, n % _RENEWAL
        state = np.searchsorted(first, mix(device, begin, salt=salt) % _ROW, side="right")
        for step in range(1, _RENEWAL):
            draw = mix(device, begin + step, salt=salt) % _ROW
            following = (draw[..., None] >= bounds[state]).sum(axis=-1)
            state = np.where(at >= step, following, state)
        return np.asarray(state, dtype=np.int64)


@cache
def _bounds(rows: tuple[tuple[int, ...], ...]) -> tuple[Ints, Ints]:
    """Return the upper bounds of a draw for each state: at the beginning of a chain, and after each state."""
    table = np.array(rows, dtype=np.int64)
    share = np.full(len(rows), _ROW * _ROW // len(rows), dtype=np.int64)
    for _ in range(200):  # by then it has settled
        share = share @ table // _ROW
    first = np.cumsum(share * _ROW // share.sum())
    return first[:-1], np.cumsum(table, axis=1)[:, :-1]


@dataclass(frozen=True, slots=True)
class Chance:
    """1 once in `every` messages, at random, else 0."""

    every: int

    def codes(self, device: Ints, n: Ints, *, salt: int) -> Ints:
        """Return the codes, as `Movement` says."""
        return np.asarray(mix(device, n, salt=salt) % self.every == 0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Turns:
    """0 to `count` - 1 in turn, each for `every` messages."""

    count: int
    every: int

    def codes(self, device: Ints, n: Ints, *, salt: int) -> Ints:
        """Return the codes, as `Movement` says."""
        return np.asarray((mix(device, np.int64(0), salt=salt) + n // self.every) % self.count)


@dataclass(frozen=True, slots=True)
class Burst:
    """Up to `quiet`, and for `length` of every `every` messages up to `loud`: what a machine does when it strikes."""

    quiet: int
    loud: int
    length: int = 12
    every: int = 60

    def codes(self, device: Ints, n: Ints, *, salt: int) -> Ints:
        """Return the codes, as `Movement` says."""
        at = (n + mix(device, np.int64(0), salt=salt ^ _PHASE)) % self.every
        height = np.where(at < self.length, self.loud * (self.length - at) // self.length, self.quiet)
        return np.asarray(mix(device, n, salt=salt) % (2 * height + 1) - height)


@dataclass(frozen=True, slots=True)
class Drain:
    """Falls from `high` by one every `every` messages, and is back at `high` when it would be below `low`."""

    low: int
    high: int
    every: int

    def codes(self, device: Ints, n: Ints, *, salt: int) -> Ints:
        """Return the codes, as `Movement` says."""
        span = self.high - self.low + 1
        return np.asarray(self.high - (mix(device, np.int64(0), salt=salt) + n // self.every) % span)
