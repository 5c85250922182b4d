"""The sender of one process: parts and ledgers in, results out. Opens what it sends over, verifies nothing."""

import asyncio
import resource
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack

from simulator.core.addresses import Broker
from simulator.core.errors import SimulatorError, UsageError, first_of
from simulator.plan.fleet import Transport
from simulator.plan.plan import Part, Plan
from simulator.send.drivers.http import HttpClient
from simulator.send.ledger_folder import OpenLedger
from simulator.send.loads.base import Load
from simulator.send.loads.http import HttpLoad
from simulator.send.loads.mqtt import MqttLoad
from simulator.send.loads.script import Script
from simulator.send.pacing import Pace
from simulator.send.progress import Look, look_at
from simulator.send.results import PartResult, WorkerResult
from simulator.send.target import Target
from simulator.send.timeline import Recorder, Timeline

_SPARE = 256
"""For the ledger, slow sockets, connections that are being made anew while the old ones end, and Python itself."""


def files_needed(plan: Plan, worker: int) -> int:
    """Return how many files a worker of a plan has open at a time, at the most."""
    over_mqtt = sum(part.connections for part in plan.parts() if part.worker == worker)
    return over_mqtt + plan.scenario.connections // plan.workers + _SPARE


def check_files(plan: Plan) -> None:
    """Raise UsageError if the hard limit is too low for a worker."""
    needed = max(files_needed(plan, worker) for worker in range(plan.workers))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and needed > hard:
        raise UsageError(
            f"Each process that sends needs {needed:,} open files, and the limit here is {hard:,}: raise it "
            f"(ulimit -n {needed}, or LimitNOFILE= of systemd), use more --workers, or fewer --mqtt-connections."
        )


def raise_limit(plan: Plan, worker: int) -> None:
    """Let this process open what a worker needs, as far as the hard limit allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = files_needed(plan, worker)
    wanted = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


ShowProgress = Callable[[Look], Coroutine[None, None, None]]
Begun = Callable[[Part, float], object]
"""Is told when a part begins to send, on the clock that all processes of a machine share."""
_ATTEMPT_S = 30.0
_ON_THE_WAY_S = 5.0
"""Seconds that a run that was interrupted waits for answers."""
_GRAIN_S = 0.001
"""Messages of one millisecond are published together: 30,000 a second in 1,000 turns of the event loop."""


def nobody_asks(_: Part, __: float) -> None:
    """Do nothing, for a run of which nobody keeps when it began."""


class Sender:
    """Sends what one worker of a plan has to send. `send` does all of it, once."""

    def __init__(self, plan: Plan, worker: int, *, target: Target, broker: Broker) -> None:
        """Raise UsageError for a plan that cannot be sent."""
        raise_limit(plan, worker)
        self._plan = plan
        self._parts = [part for part in plan.parts() if part.worker == worker]
        self._target = target
        self._broker = broker
        self._loads: list[Load] = []
        self._sending: list[asyncio.Task[None]] = []
        self._is_stopped = False

    @property
    def _connections(self) -> int:
        """HTTP connections of this worker: all workers together have as many as asked for."""
        return max(1, self._plan.scenario.connections // self._plan.workers)

    def stop(self) -> None:
        """Send nothing new, and nothing again; what is on the way is waited for, some seconds at most."""
        self._is_stopped = True
        for load in self._loads:
            load.pace.stop()
        asyncio.get_running_loop().call_later(_ON_THE_WAY_S, self._give_up)

    def _give_up(self) -> None:
        for task in self._sending:
            task.cancel()

    def open_client(self, url: str, key: str) -> HttpClient:
        """Return the client that the posts go through. Raises UsageError for a URL that is none."""
        scenario = self._plan.scenario
        timeout = min(_ATTEMPT_S, max(1.0, scenario.give_up))
        return self._target.client(url, key, connections=self._connections, timeout=timeout)

    async def send(
        self, client: HttpClient, open_ledger: OpenLedger, watch: ShowProgress, *, begun: Begun
    ) -> WorkerResult:
        """Send all, while `watch` runs. Raises Unreachable."""
        self._loads = [self._load(part, open_ledger, client) for part in self._parts]
        if self._is_stopped:
            self.stop()
        result = WorkerResult()
        async with AsyncExitStack() as stack:  # what connecting takes is not part of sending
            began = time.monotonic()
            for load in self._loads:
                await stack.enter_async_context(load.opened())
            result.connections = sum(load.part.connections for load in self._loads)
            result.connecting = time.monotonic() - began
            began, cpu = time.monotonic(), time.process_time()
            result.timelines = await self._send(watch, begun)
            result.elapsed = time.monotonic() - began
            result.cpu = (time.process_time() - cpu) / max(result.elapsed, 1e-6)
        result.parts = [PartResult.of(load) for load in self._loads]
        return result

    async def _send(self, watch: ShowProgress, begun: Begun) -> dict[Transport, Timeline]:
        """Send all; return how it went, second by second. Whoever cancels what is sending leaves answers open."""
        loads = self._loads
        for load in loads:
            load.pace.start()
        for load in loads:
            begun(load.part, load.pace.began)
        watcher = asyncio.create_task(watch(lambda: look_at(loads)), name="sender.watch")
        recorder = Recorder(loads, clock=time.monotonic)
        recording = asyncio.create_task(recorder.record(), name="sender.record")
        try:
            async with asyncio.TaskGroup() as group:
                for load in loads:
                    name = f"sender.{load.part.title}.{load.part.lane.transport}[{load.part.index}]"
                    self._sending.append(group.create_task(load.run(), name=name))
        except* SimulatorError as errors:
            raise first_of(errors) from None
        finally:
            watcher.cancel()
            recording.cancel()
            await asyncio.gather(watcher, recording, return_exceptions=True)
        recorder.finish()
        return recorder.timelines

    def _load(self, part: Part, open_ledger: OpenLedger, client: HttpClient) -> Load:
        scenario, ledger = self._plan.scenario, open_ledger(part)
        grain = _GRAIN_S if part.lane.transport == "mqtt" else 0.0
        pace = Pace(part.timetable, part.lane.posts, patience=scenario.give_up, clock=time.monotonic, grain=grain)
        script, clock = Script(part, self._target), time.monotonic
        if part.lane.transport == "http":
            return HttpLoad(
                script, ledger, pace, scenario=scenario, clock=clock, client=client, senders=self._connections
            )
        name = f"{scenario.seed}-{self._plan.run}" + (f"-{part.index}" if part.index else "")
        return MqttLoad(script, ledger, pace, scenario=scenario, clock=clock, broker=self._broker, run=name)
