"""The tally of a measurement: answers and their times in, totals and percentiles out. Pure; the clock comes in.

An answer that is not what the documented API promises for the request counts as a fault, and for nothing else.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any, Self

from simulator.core.json_objects import object_of
from simulator.send.latency import Latencies, Percentiles, summary
from simulator.send.pacing import Clock

_OK = 200
_MAX_KNOWN = 64

Judge = Callable[[int, bytes], str]
"""(status, body) → what is wrong with the answer, in a word to count by; empty if nothing is."""


class Tally:
    """What became of the requests of one measurement, `elapsed` seconds long up to the last answer."""

    def __init__(self, judge: Judge, *, items: int) -> None:
        """`items`: what a good answer counts for."""
        self.answers = 0
        self.elapsed = 0.0
        self.faults: Counter[str] = Counter()
        self.beside: Self | None = None
        """Of state reads that ran beside it."""
        self._judge = judge
        self._items = items
        self._latencies = Latencies()

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
        self._latencies.record(seconds)
        return True

    def times(self) -> Percentiles:
        """Return the percentiles of the good answers."""
        return summary([self._latencies.counts])


class ReceiptJudge:
    """Wants every reading of a post accepted, durable in the database, and all or none of them a duplicate.

    Equal receipts are equal bytes, so each is parsed once.
    """

    def __init__(self, *, readings: int, repeats: bool) -> None:
        counts = {"accepted": readings, "duplicates": readings if repeats else 0, "conflicts": 0, "refused": 0}
        self._wanted: dict[str, object] = {**counts, "durability": "db"}
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


def _wanting(part: bytes, otherwise: str) -> Judge:
    return lambda status, body: f"http_{status}" if status != _OK else "" if part in body else otherwise


judge_state = _wanting(b'"metrics":{"', "no_metrics")
"""Wants the state of one device, with metrics in it."""
judge_states = _wanting(b'"missing":[]', "missing_devices")
"""Wants the states of all devices that were asked for."""


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
