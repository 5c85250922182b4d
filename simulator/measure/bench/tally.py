"""The tally of a measurement: answers and their times in, totals and percentiles out. Pure; the clock comes in.

An answer that is not what the documented API promises for the request counts as a fault, and for nothing else.
"""

from array import array
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from simulator.core.json_objects import object_of
from simulator.send.pacing import Clock

_OK = 200
_MAX_KNOWN = 64
_SHOWN = (50.0, 99.0, 99.9)

Judge = Callable[[int, bytes], str]
"""(status, body) → what is wrong with the answer, in a word to count by; empty if nothing is."""


@dataclass(frozen=True, slots=True)
class Times:
    """Milliseconds from sending to the answer; 0 without answers."""

    p50: float = 0.0
    p99: float = 0.0
    p999: float = 0.0


class Tally:
    """What became of the requests of one measurement."""

    def __init__(self, judge: Judge, *, items: int) -> None:
        """`items`: what a good answer counts for."""
        self.answers = 0
        self.faults: Counter[str] = Counter()
        self._judge = judge
        self._items = items
        self._seconds = array("d")

    @property
    def items(self) -> int:
        """Readings acknowledged, or states read."""
        return self.answers * self._items

    def take(self, status: int, body: bytes, seconds: float) -> bool:
        """Count an answer; return whether it was a good one."""
        fault = self._judge(status, body)
        if fault:
            self.faults[fault] += 1
            return False
        self.answers += 1
        self._seconds.append(seconds)
        return True

    def times(self) -> Times:
        """Return the percentiles of the good answers."""
        if not self._seconds:
            return Times()
        p50, p99, p999 = np.percentile(np.frombuffer(self._seconds) * 1_000, _SHOWN)
        return Times(float(p50), float(p99), float(p999))


class ReceiptJudge:
    """Wants every reading of a post accepted, durable in the database, and all or none of them a duplicate.

    Equal receipts are equal bytes, so each is parsed once.
    """

    def __init__(self, *, readings: int, repeats: bool) -> None:
        self._wanted = {
            "accepted": readings,
            "duplicates": readings if repeats else 0,
            "conflicts": 0,
            "refused": 0,
            "durability": "db",
        }
        self._good: set[bytes] = set()

    def __call__(self, status: int, body: bytes) -> str:
        """Judge an answer; see `Judge`."""
        if status == _OK and body in self._good:
            return ""
        receipt = object_of(body)
        if status != _OK:
            return f"http_{status}{_first_code(receipt)}"
        for name, value in self._wanted.items():
            if receipt.get(name) != value:
                return f"{name}_{receipt.get(name)}"
        if len(self._good) < _MAX_KNOWN:
            self._good.add(body)
        return ""


def judge_state(status: int, body: bytes) -> str:
    """Want the state of one device, with metrics in it."""
    if status != _OK:
        return f"http_{status}"
    return "" if b'"metrics":{"' in body else "no_metrics"


def judge_states(status: int, body: bytes) -> str:
    """Want the states of all devices that were asked for."""
    if status != _OK:
        return f"http_{status}"
    return "" if b'"missing":[]' in body else "missing_devices"


def _first_code(receipt: dict[str, Any]) -> str:
    errors = receipt.get("errors")
    first = errors[0] if isinstance(errors, list) and errors else receipt
    code = first.get("code") if isinstance(first, dict) else None
    return f"_{code}" if code else ""


class Window:
    """A span of time to measure in: `seconds` from `open` on, or until it is closed early; then it stays closed."""

    def __init__(self, seconds: float, *, clock: Clock) -> None:
        self.seconds = seconds
        self.clock = clock
        self._end = 0.0
        self._is_closed = False

    def open(self) -> float:
        """Begin now; return the time."""
        now = self.clock()
        self._end = now + self.seconds
        return now

    @property
    def is_open(self) -> bool:
        """Whether there is time left."""
        return not self._is_closed and self.clock() < self._end

    def close(self) -> None:
        """End here, or before it has begun."""
        self._is_closed = True
