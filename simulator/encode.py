"""Turn posts of a lane into bodies, in any of the gateway's four native shapes. Pure; shares no code with it.

| shape | an item of the body |
| --- | --- |
| flat | `{"device", "metric", "ts", "value"}`: one reading |
| values | `{"device", "ts", "values": {metric: value}}`: one message |
| readings | `{"device", "readings": [{"ts", "values"}, …]}`: a run of messages |
| columns | `{"device", "ts": [t, …], "values": {metric: [value, …]}}`: a run of messages |

HTTP bodies are arrays of items. An MQTT publish speaks for one device: its topic names the device, its items do not.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from simulator.compress import compress
from simulator.fleet import Fleet
from simulator.lane import Lane
from simulator.scenario import Compression, Shape

Item = dict[str, Any]

_CHUNK_READINGS = 2_000
"""Readings encoded in one go: numpy's cost a call is spread thin, and the event loop is held for a millisecond."""


@dataclass(frozen=True, slots=True)
class Post:
    """One request or publish, ready for the wire. `topic` is empty for HTTP; `encoding` is a Content-Encoding."""

    number: int
    topic: bytes
    body: bytes
    encoding: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive messages of one device: rows[i] holds the values of the message at times[i]."""

    device: str
    times: list[int]
    rows: list[tuple[Any, ...]]


class Encoder:
    """Makes the posts of one lane. Ask for them in rising order: they are made a chunk ahead."""

    def __init__(
        self,
        fleet: Fleet,
        lane: Lane,
        *,
        shapes: Sequence[Shape],
        compression: Sequence[Compression] = ("none",),
        topic: str = "devices/{device}/readings",
    ) -> None:
        """Let the posts take turns in `shapes` and `compression`."""
        self._fleet = fleet
        self._lane = lane
        self._shapes = tuple(shapes)
        self._compression = tuple(compression)
        self._topic = topic
        self._names = tuple(metric.name for metric in fleet.metrics)
        self._posts_in_chunk = max(1, _CHUNK_READINGS // lane.readings)
        self._chunk: list[Post] = []
        self._first = 0

    def post(self, number: int) -> Post:
        """Return one post of the lane, `0 <= number < lane.posts`."""
        at = number - self._first
        if not 0 <= at < len(self._chunk):
            self._chunk = self._encode(number, min(self._posts_in_chunk, self._lane.posts - number))
            self._first, at = number, 0
        return self._chunk[at]

    def altered(self, number: int, alter: Callable[[list[Run]], list[Run]] = list) -> Post:
        """Return one post alone, out of turn, with its messages altered; not compressed yet."""
        return self._write(number, alter(list(self._runs(number, 1))))

    def packed(self, post: Post) -> Post:
        """Return the post compressed as its turn is."""
        how = self._compression[post.number % len(self._compression)]
        return post if how == "none" else Post(post.number, post.topic, compress(post.body, how), how)

    def _encode(self, first: int, count: int) -> list[Post]:
        runs = list(self._runs(first, count))
        share = len(runs) // count
        posts = (self._write(first + i, runs[i * share : (i + 1) * share]) for i in range(count))
        return [self.packed(post) for post in posts]

    def _runs(self, first: int, count: int) -> Iterator[Run]:
        lane, fleet = self._lane, self._fleet
        device, n = lane.said_by(lane.messages_of(first, count))
        codes = (fleet.codes(i, device, n) for i in range(len(fleet.metrics)))
        columns = [m.values(c).tolist() for m, c in zip(fleet.metrics, codes, strict=True)]
        rows = list(zip(*columns, strict=True))
        times = np.asarray(lane.time_ms(n)).tolist()
        for at, number in zip(range(0, len(rows), lane.run), device[:: lane.run].tolist(), strict=True):
            yield Run(fleet.name(number), times[at : at + lane.run], rows[at : at + lane.run])

    def _write(self, number: int, runs: list[Run]) -> Post:
        shape = self._shapes[number % len(self._shapes)]
        if self._lane.transport == "http":
            items = [{"device": run.device, **item} for run in runs for item in _items(shape, self._names, run)]
            return Post(number, b"", orjson.dumps(items))
        (run,) = runs
        items = list(_items(shape, self._names, run))
        topic = self._topic.replace("{device}", run.device).encode()
        return Post(number, topic, orjson.dumps(items[0] if len(items) == 1 else items))


def _items(shape: Shape, names: tuple[str, ...], run: Run) -> Iterator[Item]:
    match shape:
        case "flat":
            for ts, row in zip(run.times, run.rows, strict=True):
                for name, value in zip(names, row, strict=True):
                    yield {"metric": name, "ts": ts, "value": value}
        case "columns":
            yield {"ts": run.times, "values": dict(zip(names, zip(*run.rows, strict=True), strict=True))}
        case "values":
            yield from _messages(names, run)
        case "readings":
            yield {"readings": list(_messages(names, run))}


def _messages(names: tuple[str, ...], run: Run) -> Iterator[Item]:
    for ts, row in zip(run.times, run.rows, strict=True):
        yield {"ts": ts, "values": dict(zip(names, row, strict=True))}
