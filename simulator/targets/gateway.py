"""The gateway as a target: its ways to write readings and to answer them, registration, and history through its API.

Shares no code with the gateway; written from its documentation.

| shape | an item of the body |
| --- | --- |
| flat | `{"device", "metric", "ts", "value"}`: one reading |
| values | `{"device", "ts", "values": {metric: value}}`: one message |
| readings | `{"device", "readings": [{"ts", "values"}, …]}`: a run of messages |
| columns | `{"device", "ts": [t, …], "values": {metric: [value, …]}}`: a run of messages |

HTTP bodies are arrays of items. An MQTT publish speaks for one device: its topic names the device, its items do not.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from simulator.core.errors import Unreachable
from simulator.plan.faults import Fault
from simulator.plan.fleet import Lane
from simulator.plan.metrics import Metric
from simulator.plan.plan import Part, Plan
from simulator.plan.scenario import Shape
from simulator.send.drivers.http import HttpClient, Request, ask_once
from simulator.send.encode import Head, Post, Run
from simulator.send.loads.truth import Truth, Truths
from simulator.send.receipts import Answer, ReceiptReader
from simulator.send.target import Codec, Registry, Source, Target
from simulator.targets.registration import Registration
from simulator.verify.history import History

Item = dict[str, Any]

_LISTED_ERRORS = 100
"""Readings in a post from which on the gateway has to be asked to list every error."""
_TOPIC = "devices/{device}/readings"


class Native:
    """The codec of one lane whose posts take turns in `shapes`."""

    def __init__(self, metrics: tuple[Metric, ...], lane: Lane, *, shapes: Sequence[Shape]) -> None:
        self._lane = lane
        self._shapes = tuple(shapes)
        self._names = tuple(metric.name for metric in metrics)
        self._head = Head("/v1/readings" + ("?errors=all" if lane.readings > _LISTED_ERRORS else ""))
        self._receipts = {
            shape: ReceiptReader(metrics, shape=shape, messages=lane.messages, run=lane.run) for shape in set(shapes)
        }

    def write(self, number: int, runs: Sequence[Run]) -> Post:
        """Return one post, in the shape whose turn it is."""
        shape = self._shapes[number % len(self._shapes)]
        if self._lane.transport == "http":
            items = [{"device": run.device, **item} for run in runs for item in _items(shape, self._names, run)]
            return Post(number, b"", orjson.dumps(items), "", self._head)
        (run,) = runs
        items = list(_items(shape, self._names, run))
        topic = _TOPIC.replace("{device}", run.device).encode()
        return Post(number, topic, orjson.dumps(items[0] if len(items) == 1 else items))

    def read(self, number: int, status: int, body: bytes) -> Answer:
        """Return what the answer to a post means."""
        return self._receipts[self._shapes[number % len(self._shapes)]].read(status, body)


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


_UNAUTHORIZED = 401


class GatewayTarget(Target):
    """A gateway; every fault has its one right answer there."""

    name = "gateway"
    transports = frozenset({"http", "mqtt"})
    compression = frozenset({"none", "gzip", "zstd"})
    faults = frozenset(Fault)
    shows_states = True

    def codec(self, part: Part) -> Codec:
        """Return the codec of the native shapes."""
        return Native(part.fleet.metrics, part.lane, shapes=part.shapes)

    def truth(self, part: Part) -> Truths:
        """Return what the documentation says is right."""
        return Truth(part.draw, part.lane)

    async def check_access(self, client: HttpClient) -> None:
        """Ask for a state, as `Target.check_access` says."""
        request = Request("POST", "/v1/states:query", b'{"devices":["simulator"]}')
        response = await ask_once(client, request, complaint=f"The gateway at {client.url} does not answer")
        if response.status == _UNAUTHORIZED:
            raise Unreachable(f"The gateway at {client.url} does not take our key: give one with --key-file.")

    def registry(self, client: HttpClient, plan: Plan, *, is_begun: bool = False) -> Registry:
        """Return the registration of the run's devices."""
        return Registration(client, plan, is_begun=is_begun)

    def source(self, client: HttpClient) -> Source:
        """Return the history, page by page."""
        return History(client)
