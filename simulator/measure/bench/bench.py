"""One bench from start to end: options in, results out. Finds the parts, measures in rounds, cleans up after itself.

The composition root of `simulator bench`. In each round the yardstick is measured first and then every workload, so
that whatever else the machine does falls on all of them alike.
"""

import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from random import Random

import orjson

from simulator.core.errors import Unreachable
from simulator.measure.bench import parts
from simulator.measure.bench.database import Database
from simulator.measure.bench.filling import Filling
from simulator.measure.bench.gateway import Gateway
from simulator.measure.bench.machine import describe
from simulator.measure.bench.meter import Meter
from simulator.measure.bench.options import BenchOptions
from simulator.measure.bench.parts import Part, Parts
from simulator.measure.bench.results import Results
from simulator.measure.bench.runners import HalfRunner, HttpRunner, MqttRunner, Runner, StateRunner
from simulator.measure.bench.window import Window
from simulator.measure.bench.workloads import Workload
from simulator.measure.bench.yardstick import Yardstick, setups
from simulator.plan.scenario import run_id
from simulator.send.drivers.mqtt import Broker, MqttPublisher, kept
from simulator.verify.stored import StoredReadings

Say = Callable[[str], None]

_BACK_MS = 50 * 60 * 1_000
"""How far before now the times of readings begin: new enough for any gateway, with room for all the rounds."""
_APART_US = 120_000_000
"""Between the times of two setups of the yardstick."""
_APART_MS = 60_000
"""Between the times of what the table is filled with and of what is sent."""
_UNAUTHORIZED = 401


class Bench:
    """One bench. `run` does all of it, once; `stop` ends it early, and what was measured in full is kept."""

    def __init__(self, options: BenchOptions, *, command: str, say: Say) -> None:
        """`say` is told how it goes. Raises UsageError for what cannot be run as asked."""
        target = options.target
        self._work = options.work
        self._parts = options.parts
        self._workloads = options.work.picked
        self._publishes = any(workload.door == "mqtt" for workload in self._workloads)
        self._url = options.parts.database_url
        self._gateway = Gateway.parse(target.url, key=target.key())
        self._broker = Broker.parse(target.mqtt)
        self._command = command
        self._say = say
        self._start_ms = time.time_ns() // 1_000_000 - _BACK_MS
        self._filling = Filling(self._url, before_us=(self._start_ms - _APART_MS) * 1_000, say=say)
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
            found = await self._find(database)
            results = self._results(database, found)
            yardstick = await stack.enter_async_context(Yardstick(self._url, database.ground))
            runners = [self._runner(workload) for workload in self._workloads]
            await self._warm_up(runners)
            for number in range(1, self._work.rounds + 1):
                if self._stopped:
                    break
                self._say(f"round {number} of {self._work.rounds}")
                await self._round(yardstick, runners, Meter(database, stored, found), results)
            return results

    async def _warm_up(self, runners: list[Runner]) -> None:
        for runner in runners:
            if not self._stopped:
                self._say(f"{runner.workload.name}: its devices introduce themselves")
                await runner.warm_up()

    async def _round(self, yardstick: Yardstick, runners: list[Runner], meter: Meter, results: Results) -> None:
        """Measure everything once, or until stopped; a measurement that was cut short does not count."""
        results.commits.append(await meter.database.commit_times())
        await yardstick.renew()
        for i, setup in enumerate(setups(self._workloads)):
            window = self._next_window(self._work.seconds / 4)
            copied = await meter.copy(yardstick, setup, window, start_us=self._start_ms * 1_000 + i * _APART_US)
            if self._stopped:
                return
            results.copies.append(copied)
            self._say(
                f"  COPY {setup.rows:,} rows × {setup.width}, {setup.connections} conn: {copied.rate:,.0f} readings/s"
            )
        for runner in runners:
            await self._filling.reach(runner.workload.fill, width=runner.workload.form.width)
            if isinstance(runner, HalfRunner):
                runner.rate = results.last_rate(runner.workload.half_of) / 2
            load = await meter.load(runner, self._next_window(self._work.seconds))
            if self._stopped:
                return
            results.loads.append(load)
            self._say(f"  {load.workload} ({runner.workload.title}): {load.rate:,.0f} /s")

    def _next_window(self, seconds: float) -> Window:
        self._window = Window(seconds, clock=time.monotonic)
        return self._window

    def _runner(self, workload: Workload) -> Runner:
        prefix = f"bench-{run_id(self._start_ms)}-{workload.name}"
        start_ms, clock, gateway = self._start_ms, time.monotonic, self._gateway
        if workload.door == "mqtt":
            return MqttRunner(workload, gateway, self._broker, prefix=prefix, start_ms=start_ms, clock=clock)
        kind = HalfRunner if workload.half_of else HttpRunner if workload.ingests else StateRunner
        return kind(workload, gateway, prefix=prefix, start_ms=start_ms, clock=clock)

    async def _knock(self) -> None:
        """Ask for something harmless. Raises Unreachable if gateway or broker is not there or does not let us in."""
        body = orjson.dumps({"devices": ["bench"]})
        response = await self._gateway.ask(self._gateway.head("/v1/states:query", len(body)) + body)
        if response.status == _UNAUTHORIZED:
            raise Unreachable("The gateway does not take our key: give one with --key-file.")
        if self._publishes:
            publisher = MqttPublisher(self._broker, client_id="bench-knock", on_ack=lambda _: None)
            async with kept([publisher], random=Random()):
                pass

    async def _find(self, database: Database) -> Parts:
        pid, redis = self._parts.gateway_pid, self._parts.redis
        roots: dict[Part, frozenset[int]] = {
            "gateway": parts.given(pid) if pid else parts.on_port(self._gateway.host, self._gateway.port),
            "database": parts.of_backend(database.backend),
            "redis": await parts.of_redis(redis) if redis else frozenset(),
            "broker": parts.on_port(self._broker.host, self._broker.port),
        }
        return Parts(roots)

    def _results(self, database: Database, found: Parts) -> Results:
        remarks = []
        if database.ground.timescaledb is None:
            remarks.append("the database has no TimescaleDB: messages is a plain table")
        missing = [part for part in found.missing if part != "broker" or self._publishes]
        if missing:
            remarks.append(f"cost not told, their processes were not found here: {', '.join(missing)}")
        return Results(
            when=datetime.now(UTC).isoformat(timespec="minutes"),
            machine=describe(),
            ground=database.ground.sentence,
            command=self._command,
            seconds=self._work.seconds,
            rounds=self._work.rounds,
            remarks=remarks,
        )
