"""One run from start to verdict: options in, a report out. Opens what it needs, sends, verifies, closes.

The composition root of `simulator run`; prints nothing, and tells `watch` how it stands while the load is on.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from random import Random

from simulator.drivers.http import HttpClient
from simulator.drivers.mqtt import Broker
from simulator.encode import Encoder
from simulator.errors import ConnectionLost, SimulatorError, Unreachable
from simulator.lane import Lane
from simulator.ledger import Ledger
from simulator.load import HttpLoad, Load, MqttLoad, open_publishers
from simulator.options import RunOptions
from simulator.pacing import Pace
from simulator.receipts import ReceiptReader
from simulator.report import LaneReport, Report
from simulator.scenario import Scenario
from simulator.verify.referee import Referee, Verdict
from simulator.verify.stored import StoredReadings

Watch = Callable[[Sequence[Load]], Coroutine[None, None, None]]
_UNAUTHORIZED = 401
_ATTEMPT_S = 30.0
_REOPEN_S = 0.5


class Run:
    """One run. `execute` does all of it, once."""

    def __init__(self, options: RunOptions, scenario: Scenario) -> None:
        """Raise UsageError for options that contradict each other."""
        self.scenario = scenario
        self._options = options
        self._lanes = scenario.lanes()
        self._broker = Broker.parse(options.target.mqtt)
        self._loads: list[Load] = []

    def stop(self) -> None:
        """Send nothing new; what is on the way is waited for, and the run is judged as far as it came."""
        for load in self._loads:
            load.pace.stop()

    async def execute(self, watch: Watch, *, on_sent: Callable[[], None]) -> Report:
        """Run, verify, report; `watch` is cancelled when all is sent. Raises UsageError and Unreachable."""
        options = self._options
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(
                HttpClient(
                    options.target.url,
                    key=options.target.key(),
                    connections=options.load.connections,
                    timeout=min(_ATTEMPT_S, max(1.0, options.load.give_up)),
                )
            )
            await self._check_database()
            await self._knock(client)
            began, cpu = time.monotonic(), time.process_time()
            await self._send(client, watch)
            elapsed, busy = time.monotonic() - began, time.process_time() - cpu
            on_sent()
            verdict = await self._verify(client) if options.verdict.verify else None
        lanes = [LaneReport.of(load) for load in self._loads]
        return Report(self.scenario, elapsed=elapsed, cpu=busy / elapsed, lanes=lanes, verdict=verdict)

    async def _check_database(self) -> None:
        """Look for it before anything is sent: a run that cannot be verified is better not begun."""
        verdict = self._options.verdict
        if verdict.database is not None and verdict.verify:
            await (await StoredReadings.open(verdict.database)).close()

    async def _knock(self, client: HttpClient) -> None:
        """Ask the gateway for something harmless. Raises Unreachable if it is not there or does not know our key."""
        try:
            response = await client.post(b'{"devices":["simulator"]}', path="/v1/states:query")
        except ConnectionLost as error:
            if any(lane.transport == "http" for lane in self._lanes):
                raise Unreachable(f"The gateway at {client.url} does not answer: {error}.") from error
            return
        if response.status == _UNAUTHORIZED and any(lane.transport == "http" for lane in self._lanes):
            raise Unreachable(f"The gateway at {client.url} does not take our key: give one with --key-file.")

    async def _send(self, client: HttpClient, watch: Watch) -> None:
        self._loads = [self._load(lane, client) for lane in self._lanes]
        async with AsyncExitStack() as stack:
            for load in self._loads:
                await stack.enter_async_context(load.opened())
            for load in self._loads:
                load.pace.start()
            watcher = asyncio.create_task(watch(self._loads), name="run.watch")
            try:
                async with asyncio.TaskGroup() as group:
                    for load in self._loads:
                        group.create_task(load.run(), name=f"run.{load.ledger.lane.transport}")
            except* SimulatorError as errors:
                raise errors.exceptions[0] from None
            finally:
                watcher.cancel()
                await asyncio.gather(watcher, return_exceptions=True)

    def _load(self, lane: Lane, client: HttpClient) -> Load:
        scenario, load = self.scenario, self._options.load
        shape = scenario.shape_over(lane.transport)
        encoder = Encoder(scenario.fleet, lane, shape=shape)
        pace = Pace(lane.rate, lane.posts, patience=load.give_up, clock=time.monotonic)
        if lane.transport == "mqtt":
            return MqttLoad(
                encoder,
                Ledger(lane),
                pace,
                open_publisher=open_publishers(
                    self._broker, run=f"{scenario.seed}-{scenario.run}", seed=scenario.seed, window=load.window
                ),
                publishers=load.mqtt_connections,
                clock=time.monotonic,
                give_up=load.give_up,
            )
        return HttpLoad(
            encoder,
            Ledger(lane),
            pace,
            client=client,
            receipts=ReceiptReader(scenario.kinds, shape=shape, messages=lane.messages, run=lane.run),
            senders=load.connections,
            random=Random(scenario.seed),
            clock=time.monotonic,
            give_up=load.give_up,
        )

    async def _verify(self, client: HttpClient) -> Verdict:
        database = self._options.verdict.database
        async with AsyncExitStack() as stack:
            stored = None
            if database is not None:
                try:
                    stored = await self._open_database(database)
                except Unreachable as error:
                    return Verdict.none({lane.transport for lane in self._lanes}, why=str(error))
                stack.push_async_callback(stored.close)
            referee = Referee(
                self.scenario.fleet,
                stored=stored,
                client=client,
                clock=time.monotonic,
                sleep=asyncio.sleep,
                settle=self._options.verdict.settle,
            )
            return await referee.verify([load.ledger for load in self._loads])

    async def _open_database(self, url: str) -> StoredReadings:
        """Connect anew: the database may have been restarted during the run, and may still be starting."""
        deadline = time.monotonic() + self._options.verdict.settle
        while True:
            try:
                return await StoredReadings.open(url)
            except Unreachable:
                if time.monotonic() >= deadline:
                    raise
            await asyncio.sleep(_REOPEN_S)
