"""InfluxDB's line protocol: runs of messages in, posts out, answers back. Pure.

One line a message: `measurement,device=name field=value,… ms`. The names that the simulator gives hold nothing that
would have to be escaped. What is written again with the same time and device is absorbed.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

from simulator.plan.devices.metrics import Kind
from simulator.plan.fleet import Fleet
from simulator.send.encode import Head, Post, Run
from simulator.send.receipts import Answer

_DROPPED = re.compile(rb"partial write: .* dropped=(\d{1,9})\b")
_NO_CONTENT, _BAD_REQUEST, _TOO_MANY, _SERVER_ERROR = 204, 400, 429, 500


def _text(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


_WRITTEN: dict[Kind, Callable[[Any], str]] = {
    "double": repr,
    "int": "{}i".format,
    "bool": lambda value: "true" if value else "false",
    "text": _text,
}


class Lines:
    """The codec of one part."""

    def __init__(self, fleet: Fleet, head: Head, *, readings: int) -> None:
        """Write posts to this head, of so many readings each."""
        self._head = head
        self._readings = readings
        self._measurement = fleet.prefix
        self._fields = [(f"{metric.name}=", _WRITTEN[metric.kind]) for metric in fleet.metrics]

    def write(self, number: int, runs: Sequence[Run]) -> Post:
        """Return one post, as `Codec.write` says."""
        lines = [
            f"{self._measurement},device={run.device} {self._values(row)} {ts}"
            for run in runs
            for ts, row in zip(run.times, run.rows, strict=True)
        ]
        return Post(number, b"", "\n".join(lines).encode(), "", self._head)

    def _values(self, row: tuple[Any, ...]) -> str:
        return ",".join([name + written(value) for (name, written), value in zip(self._fields, row, strict=True)])

    def read(self, number: int, status: int, body: bytes) -> Answer:
        """Return what an answer means."""
        del number
        if status == _NO_CONTENT:
            return Answer.stored(status)
        if status == _TOO_MANY or status >= _SERVER_ERROR:
            return Answer.again(status)
        if status == _BAD_REQUEST and b"partial write" in body:
            return self._read_partial(status, body)
        return Answer.refusal(status, f"http_{status}", readings=self._readings)

    def _read_partial(self, status: int, body: bytes) -> Answer:
        """Return how many readings it did not write; it does not say which, nor how many lines it could not read."""
        found = _DROPPED.search(body)
        readings = int(found[1]) * len(self._fields) if found else 0
        if not 0 < readings <= self._readings:
            return Answer.unclear(status, "partial_write")
        return Answer.dropped(status, "partial_write", readings=readings)
