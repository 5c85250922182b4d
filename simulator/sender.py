"""Send the parts of one process: parts and ledgers in, results out. Opens what it sends over, verifies nothing."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from random import Random

from simulator.books import OpenLedger
from simulator.drivers.http import HttpClient
from simulator.drivers.mqtt import Broker
from simulator.errors import SimulatorError
from simulator.lane import Transport
from simulator.live import Look, look_at
from simulator.loads.base import Load
from simulator.loads.over_http import HttpLoad
from simulator.loads.over_mqtt import MqttLoad, open_publishers
from simulator.pacing import Pace
from simulator.plan import Part, Plan
from simulator.results import PartResult, WorkerResult
from simulator.timeline import Recorder, Timeline

Watch = Callable[[Look], Coroutine[None, None, None]]
_ATTEMPT_S = 30.0


class Sender:
    """Sends what one worker of a plan has to send. `send` does all of it, once."""

    def __init__(self, plan: Plan, worker: int, *, broker: Broker) -> None:
        """Raise UsageError for a plan that cannot be sent."""
        self._plan = plan
        self._parts = [part for part in plan.parts() if part.worker == worker]
        self._broker = broker
        self._loads: list[Load] = []

    @property
    def _connections(self) -> int:
        """HTTP connections of this worker: all workers together have as many as asked for."""
        return max(1, self._plan.scenario.connections // self._plan.workers)

    def stop(self) -> None:
        """Send nothing new; what is on the way is waited for."""
        for load in self._loads:
            load.pace.stop()

    def open_client(self, url: str, key: str) -> HttpClient:
        """Return the client that the posts go through. Raises UsageError for a URL that is none."""
        scenario = self._plan.scenario
        timeout = min(_ATTEMPT_S, max(1.0, scenario.give_up))
        return HttpClient(url, key=key, connections=self._connections, timeout=timeout)

    async def send(self, client: HttpClient, open_ledger: OpenLedger, watch: Watch) -> WorkerResult:
        """Send all, while `watch` runs. Raises Unreachable."""
        self._loads = [self._load(part, open_ledger, client) for part in self._parts]
        began, cpu = time.monotonic(), time.process_time()
        timelines = await _send(self._loads, watch)
        elapsed, busy = time.monotonic() - began, time.process_time() - cpu
        return WorkerResult(
            parts=[PartResult.of(load) for load in self._loads],
            elapsed=elapsed,
            cpu=busy / max(elapsed, 1e-6),
            timelines=timelines,
        )

    def _load(self, part: Part, open_ledger: OpenLedger, client: HttpClient) -> Load:
        scenario, ledger = self._plan.scenario, open_ledger(part)
        pace = Pace(part.timetable, part.lane.posts, patience=scenario.give_up, clock=time.monotonic)
        phases = len(scenario.timeline)
        if part.lane.transport == "http":
            return HttpLoad(
                part, ledger, pace,
                client=client, senders=self._connections, random=Random(scenario.seed), clock=time.monotonic,
                give_up=scenario.give_up, phases=phases,
            )  # fmt: skip
        name = f"{scenario.seed}-{self._plan.run}" + (f"-{part.index}" if part.index else "")
        return MqttLoad(
            part, ledger, pace,
            open_publisher=open_publishers(self._broker, run=name, seed=scenario.seed, window=scenario.window),
            publishers=self._publishers(), clock=time.monotonic, give_up=scenario.give_up, phases=phases,
        )  # fmt: skip

    def _publishers(self) -> int:
        """Return how many connections each MQTT part of this worker has: all together as many as asked for."""
        over_mqtt = sum(part.lane.transport == "mqtt" for part in self._parts)
        return max(1, self._plan.scenario.mqtt_connections // self._plan.workers // over_mqtt)


async def _send(loads: Sequence[Load], watch: Watch) -> dict[Transport, Timeline]:
    """Send all; return how it went, second by second."""
    async with AsyncExitStack() as stack:
        for load in loads:
            await stack.enter_async_context(load.opened())
        for load in loads:
            load.pace.start()
        watcher = asyncio.create_task(watch(lambda: look_at(loads)), name="sender.watch")
        recorder = Recorder(loads, clock=time.monotonic)
        recording = asyncio.create_task(recorder.record(), name="sender.record")
        try:
            async with asyncio.TaskGroup() as group:
                for load in loads:
                    part = load.part
                    group.create_task(load.run(), name=f"sender.{part.title}.{part.lane.transport}[{part.index}]")
        except* SimulatorError as errors:
            raise errors.exceptions[0] from None
        finally:
            watcher.cancel()
            recording.cancel()
            await asyncio.gather(watcher, recording, return_exceptions=True)
        recorder.finish()
        return recorder.timelines
