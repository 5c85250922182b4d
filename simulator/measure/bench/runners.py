"""How each kind of workload is driven: a workload and a window in, a tally out. Never looks behind the doors."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import count, cycle

import orjson

from simulator.core.errors import Unreachable
from simulator.measure.bench.closed_loop import call
from simulator.measure.bench.gateway import Gateway
from simulator.measure.bench.open_loop import OpenLoop
from simulator.measure.bench.posts import Posts, device_names, to_templates
from simulator.measure.bench.publishing import Publishing
from simulator.measure.bench.results import Reads
from simulator.measure.bench.tally import ReceiptJudge, Tally, judge_state, judge_states
from simulator.measure.bench.window import Window
from simulator.measure.bench.workloads import Workload
from simulator.send.drivers.mqtt import Broker
from simulator.send.pacing import Clock

_CYCLE = 200
"""Posts that W7 repeats: far more than are on the way at once, so that no batch holds one twice."""
_WARM_UP_S = 60.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """`acked` readings or states in `elapsed` seconds, over `answers` requests or messages."""

    elapsed: float
    acked: int
    answers: int
    tally: Tally
    beside: Reads | None = None


class Runner(ABC):
    """One workload against one gateway."""

    def __init__(self, workload: Workload, gateway: Gateway, *, prefix: str, start_ms: int, clock: Clock) -> None:
        """`prefix` begins the names of its devices; their first messages are of `start_ms`."""
        self.workload = workload
        self.names = device_names(prefix, workload.form)
        head = None if workload.door == "mqtt" else partial(gateway.head, "/v1/readings")
        templates = to_templates(workload.form, prefix=prefix, head=head)
        self.posts = Posts(templates, form=workload.form, start_ms=start_ms, cycle=_CYCLE if workload.repeats else None)
        self.gateway = gateway
        self.clock = clock

    @abstractmethod
    async def warm_up(self) -> None:
        """Let every device speak once, so that it is known. Raises Unreachable if one is not let in."""

    @abstractmethod
    async def run(self, window: Window) -> Outcome:
        """Open the window once all is connected, and send until it is closed. Raises Unreachable."""

    async def _post(self, posts: Iterator[tuple[bytes, bytes]], tally: Tally, *, patience: float) -> float:
        requests = (data for _, data in posts)
        return await call(
            self.gateway,
            requests,
            tally,
            connections=self.workload.connections,
            clock=self.clock,
            patience=patience,
        )

    async def _post_once(self) -> None:
        tally = Tally(ReceiptJudge(readings=self.posts.form.readings, repeats=False), items=1)
        await self._post(self.posts.once(), tally, patience=_WARM_UP_S)
        self._require(tally.answers, tally)

    def _require(self, done: int, tally: Tally) -> None:
        if done == self.posts.count:
            return
        faults = ", ".join(tally.faults) or "no answer"
        hint = ": let unknown devices in (GATEWAY_DEVICES__UNKNOWN=auto)" if "unknown_device" in faults else ""
        raise Unreachable(f"{self.workload.name}: the gateway does not take our readings ({faults}){hint}.")


class HttpRunner(Runner):
    """Posts over HTTP, with dashboards beside them if the workload says so."""

    async def warm_up(self) -> None:
        """Post everything once."""
        await self._post_once()

    async def run(self, window: Window) -> Outcome:
        """Post until the window is closed."""
        if self.workload.dashboards:
            return await self._run_with_dashboards(window)
        return await self._ingest(window)

    async def _ingest(self, window: Window) -> Outcome:
        form = self.workload.form
        tally = Tally(ReceiptJudge(readings=form.readings, repeats=self.workload.repeats), items=form.readings)
        elapsed = await self._post(self.posts.until_closed(window), tally, patience=window.seconds)
        return Outcome(elapsed, tally.items, tally.answers, tally)

    async def _run_with_dashboards(self, window: Window) -> Outcome:
        read = Tally(judge_state, items=1)
        requests = cycle(state_requests(self.gateway, self.names))
        dashboards = OpenLoop(self.gateway, requests, read, rate=self.workload.dashboards)
        await dashboards.open(self.clock)
        try:
            window.open()
            reading = asyncio.create_task(dashboards.run(window), name="bench.dashboards")
            try:
                outcome = await self._ingest(window)
            finally:
                window.close()
                await reading
        finally:
            dashboards.close()
        reads = Reads(rate=read.answers / outcome.elapsed, times=read.times(), faults=dict(read.faults))
        return replace(outcome, beside=reads)


class HalfRunner(Runner):
    """Posts over HTTP at a rate, whether it is answered or not."""

    rate = 0.0
    """Posts a second; to be set before each run."""

    async def warm_up(self) -> None:
        """Post everything once."""
        await self._post_once()

    async def run(self, window: Window) -> Outcome:
        """Post until the window is closed."""
        readings = self.workload.form.readings
        tally = Tally(ReceiptJudge(readings=readings, repeats=False), items=readings)
        requests = (self.posts.next()[1] for _ in count())
        loop = OpenLoop(self.gateway, requests, tally, rate=self.rate)
        await loop.open(self.clock)
        began = self.clock()
        try:
            window.open()
            await loop.run(window)
        finally:
            loop.close()
        return Outcome(self.clock() - began, tally.items, tally.answers, tally)


class MqttRunner(Runner):
    """Publishes with QoS 1."""

    def __init__(
        self, workload: Workload, gateway: Gateway, broker: Broker, *, prefix: str, start_ms: int, clock: Clock
    ) -> None:
        super().__init__(workload, gateway, prefix=prefix, start_ms=start_ms, clock=clock)
        self._broker = broker
        self._prefix = prefix

    async def warm_up(self) -> None:
        """Publish everything once."""
        publishing = self._publishing()
        await publishing.run(self.posts.once(), readings=self.posts.form.readings)
        self._require(publishing.committed, publishing.tally)

    async def run(self, window: Window) -> Outcome:
        """Publish until the window is closed, and see it committed."""
        publishing, readings = self._publishing(), self.posts.form.readings
        await publishing.run(self.posts.until_closed(window), readings=readings)
        committed = publishing.committed
        return Outcome(publishing.elapsed, committed * readings, committed, publishing.tally)

    def _publishing(self) -> Publishing:
        return Publishing(
            self.gateway, self._broker, client=self._prefix, clients=self.workload.connections, clock=self.clock
        )


class StateRunner(Runner):
    """Reads the newest state, one device or all of them in a request."""

    async def warm_up(self) -> None:
        """Post everything once: there must be something to read."""
        await self._post_once()

    async def run(self, window: Window) -> Outcome:
        """Read until the window is closed."""
        if self.workload.door == "state":
            tally = Tally(judge_state, items=self.workload.items)
            requests = state_requests(self.gateway, self.names)
        else:
            tally = Tally(judge_states, items=self.workload.items)
            body = orjson.dumps({"devices": self.names})
            requests = [self.gateway.head("/v1/states:query", len(body)) + body]
        elapsed = await call(
            self.gateway,
            _while_open(requests, window),
            tally,
            connections=self.workload.connections,
            clock=self.clock,
            patience=window.seconds,
        )
        return Outcome(elapsed, tally.items, tally.answers, tally)


def state_requests(gateway: Gateway, names: list[str]) -> list[bytes]:
    """Return a request for the state of each device."""
    return [gateway.get(f"/v1/devices/{name}/state") for name in names]


def _while_open(requests: list[bytes], window: Window) -> Iterator[bytes]:
    window.open()
    for request in cycle(requests):
        if not window.is_open:
            return
        yield request
