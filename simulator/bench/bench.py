"""One bench from start to end: options in, results out. Finds the parts, measures in rounds, cleans up after itself.

The composition root of `simulator bench`. In each round the yardstick is measured first and then every workload, so
that whatever else the machine does falls on all of them alike.
"""

import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from random import Random

import orjson

from simulator.bench import parts
from simulator.bench.database import Database
from simulator.bench.gateway import Gateway
from simulator.bench.machine import describe
from simulator.bench.parts import Part, Parts
from simulator.bench.results import CopyRound, LoadRound, Results
from simulator.bench.runners import HttpRunner, MqttRunner, Outcome, Runner, StateRunner
from simulator.bench.window import Window
from simulator.bench.workloads import Workload
from simulator.bench.yardstick import Setup, Yardstick, setups
from simulator.drivers.mqtt import Broker, MqttPublisher
from simulator.errors import Unreachable
from simulator.options import Target
from simulator.bench.options import BenchOptions
from simulator.scenario import run_id
from simulator.verify.stored import StoredReadings

Say = Callable[[str], None]
_BACK_MS = 50 * 60 * 1_000
"""How far before now the times of readings begin: new enough for any gateway, with room for all the rounds."""
_APART_US = 120_000_000
"""Between the times of two setups of the yardstick; each moves its times on by less than the time it takes."""
_UNAUTHORIZED = 401


class Bench:
    """One bench. `run` does all of it, once; `stop` ends it early, and what was measured in full is kept."""

    def __init__(self, options: BenchOptions, *, say: Say, command: str) -> None:
        """`say` is told how it goes. Raises UsageError for what cannot be run as asked."""
        work, target = options.work, options.target
        self._options = options
        self._say = say
        self._workloads = work.picked
        self._url = options.parts.database_url
        self._gateway = Gateway.parse(target.url, key=target.key())
        self._broker = Broker.parse(target.mqtt)
        self._start_ms = time.time_ns() // 1_000_000 - _BACK_MS
        self._run = run_id(self._start_ms)
        self._command = command
        self._stopped = False
        self._window: Window | None = None

    def stop(self) -> None:
        """End the measurement on the way and begin no other."""
        self._stopped = True
        if self._window is not None:
            self._window.close()

    async def run(self) -> Results:
        """Measure. Raises UsageError and Unreachable."""
        async with AsyncExitStack() as stack:
            database = await Database.open(self._url)
            stack.push_async_callback(database.close)
            stored = await StoredReadings.open(self._url)
            stack.push_async_callback(stored.close)
            await self._knock()
            found = Parts(await self._find(database))
            results = self._results(database, found)
            yardstick = await stack.enter_async_context(Yardstick(self._url, database.ground))
            meter = _Meter(database, stored, found)
            runners = [self._runner(workload) for workload in self._workloads]
            for runner in runners:
                if not self._stopped:
                    self._say(f"{runner.workload.name}: making its devices known")
                    await runner.warm_up()
            for number in range(1, self._options.work.rounds + 1):
                await self._round(f"round {number} of {results.rounds}", yardstick, runners, meter, results)
            return results

    async def _round(
        self, title: str, yardstick: Yardstick, runners: list[Runner], meter: "_Meter", results: Results
    ) -> None:
        if not self._stopped:
            await yardstick.renew()
        for i, setup in enumerate(setups(self._workloads)):
            window = self._next_window(self._options.work.seconds / 4)
            copied = await meter.copy(yardstick, setup, window, start_us=self._start_ms * 1_000 + i * _APART_US)
            if self._stopped:
                return
            results.copies.append(copied)
            self._say(
                f"{title}: COPY of {setup.width} × {setup.rows:,} rows, {setup.connections} connections: "
                f"{copied.rate:,.0f} readings/s"
            )
        for runner in runners:
            load = await meter.load(runner, self._next_window(self._options.work.seconds))
            if self._stopped:
                return
            results.loads.append(load)
            self._say(f"{title}: {load.workload}: {load.rate:,.0f}/s")
