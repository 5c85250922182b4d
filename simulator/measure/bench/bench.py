"""A bench from start to end, and its options: options in, results out. Finds the parts, measures in rounds, cleans up.

The composition root of `simulator bench`. In each round the yardstick is measured first and then every workload, so
that whatever else the machine does falls on all of them alike.
"""

import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Annotated

from cyclopts import Group, Parameter

from simulator.core.addresses import Broker
from simulator.core.errors import UsageError
from simulator.measure.bench.database import Database
from simulator.measure.bench.loops import Runner
from simulator.measure.bench.processes import Component, Parts, describe, given, of_backend, of_redis, on_port
from simulator.measure.bench.results import CopyRound, LoadRound, Reads, Results, Window
from simulator.measure.bench.workloads import ALL, Setup, Workload, pick, setups
from simulator.measure.bench.yardstick import Yardstick
from simulator.plan.options import Access
from simulator.plan.scenario import run_id
from simulator.send.drivers.http import HttpClient
from simulator.send.drivers.mqtt import MqttPublisher
from simulator.send.drivers.upkeep import kept
from simulator.targets.gateway import GatewayTarget

_MAX_SECONDS, _MIN_SECONDS = 60.0, 0.2
_MAX_ROUNDS = 20

_WORK = Group("What to measure", sort_key=0)
_PARTS = Group("What is measured", sort_key=2)
_OUTPUT = Group("Output", sort_key=3)


@Parameter(name="*", group=_WORK)
@dataclass(frozen=True, slots=True, kw_only=True)
class WorkOptions:
    """What is measured, and for how long."""

    workloads: str = ALL
    """Names, with commas between them; or how the cost of a reading grows: devices, batches, rows (of the table)."""
    seconds: float = 8
    """Of each workload in each round; each setup of the yardstick takes a quarter of it."""
    rounds: int = 3
    """Times that everything is measured; the tables show medians."""

    def __post_init__(self) -> None:
        """Raise UsageError, in a sentence, for what makes no sense."""
        if not _MIN_SECONDS <= self.seconds <= _MAX_SECONDS:
            raise UsageError(f"--seconds must be from {_MIN_SECONDS:g} to {_MAX_SECONDS:g}.")
        if not 1 <= self.rounds <= _MAX_ROUNDS:
            raise UsageError(f"--rounds must be from 1 to {_MAX_ROUNDS}.")
        if self.rounds > 1 and any(workload.fill for workload in self.picked):
            raise UsageError("rows fills the table as it goes, so it can be measured once only: add --rounds 1.")

    @property
    def picked(self) -> tuple[Workload, ...]:
        """The workloads."""
        return pick(self.workloads)


@Parameter(name="*", group=_PARTS)
@dataclass(frozen=True, slots=True, kw_only=True)
class PartOptions:
    """Where the parts of the gateway are, to see what they cost."""

    database: Annotated[str | None, Parameter(env_var="SIMULATOR_DATABASE", show_env_var=True)] = None
    """The gateway's database, postgresql://…: needed, for the yardstick and to count what is stored."""
    redis: Annotated[str | None, Parameter(env_var="SIMULATOR_REDIS", show_env_var=True)] = None
    """The gateway's Redis, redis://…; without it its cost is not told."""
    gateway_pid: int | None = None
    """The gateway's topmost process [default: whoever listens on the port of --url]."""

    @property
    def database_url(self) -> str:
        """The database. Raises UsageError if none is given."""
        if self.database is None:
            raise UsageError("Give the gateway's database with --database: it holds the yardstick.")
        return self.database


@Parameter(name="*", group=_OUTPUT)
@dataclass(frozen=True, slots=True, kw_only=True)
class OutputOptions:
    """Where the figures go beside the screen."""

    json: Path | None = None
    """Write every round there."""
    append: Path | None = None
    """Append the tables to this Markdown page."""


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class BenchOptions:
    """All that `simulator bench` takes."""

    work: WorkOptions = field(default_factory=WorkOptions)
    target: Access = field(default_factory=Access)
    parts: PartOptions = field(default_factory=PartOptions)
    output: OutputOptions = field(default_factory=OutputOptions)


_BACK_MS = 50 * 60 * 1_000
"""How far before now the times of readings begin: new enough for any gateway, with room for all the rounds."""
_APART_US = 120_000_000
"""Between the times of two setups of the yardstick."""
_APART_MS = 60_000
"""Between the times of what the table is filled with and of what is sent."""
_ANSWER_S = 10.0


class Bench:
    """One bench. `run` does all of it, once; `stop` ends it early, and what was measured in full is kept."""

    def __init__(self, options: BenchOptions, *, command: str, say: Callable[[str], None]) -> None:
        """`say` is told how it goes. Raises UsageError for what cannot be run as asked."""
        target = options.target
        self._work = options.work
        self._where = options.parts
        self._workloads = options.work.picked
        self._publishes = any(workload.api == "mqtt" for workload in self._workloads)
        self._url = options.parts.database_url
        self._client = HttpClient(target.url, key=target.key(), timeout=_ANSWER_S)
        self._broker = Broker.parse(target.mqtt)
        self._command = command
        self._say = say
        self._start_ms = time.time_ns() // 1_000_000 - _BACK_MS
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
            self._database = await Database.open(self._url)
            stack.push_async_callback(self._database.close)
            await stack.enter_async_context(self._client)
            await self._check_access()
            self._parts = await self._find_parts()
            self._yardstick = await stack.enter_async_context(Yardstick(self._url, chunk_us=self._database.chunk_us))
            results, runners = self._results(), [self._runner(workload) for workload in self._workloads]
            for runner in runners:
                if not self._stopped:
                    self._say(f"{runner.workload.name}: its devices introduce themselves")
                    await runner.warm_up()
            for number in range(1, self._work.rounds + 1):
                if not self._stopped:
                    self._say(f"round {number} of {self._work.rounds}")
                    await self._round(runners, results)
            return results

    async def _round(self, runners: list[Runner], results: Results) -> None:
        """Measure everything once, or until stopped; a measurement that was cut short does not count."""
        results.commits.append(await self._database.commit_times())
        await self._yardstick.renew()
        for i, setup in enumerate(setups(self._workloads)):
            copied = await self._copy(setup, start_us=self._start_ms * 1_000 + i * _APART_US)
            if self._stopped:
                return
            results.copies.append(copied)
            self._say(
                f"  COPY {setup.rows:,} rows × {setup.width}, {setup.connections} conn: {copied.rate:,.0f} readings/s"
            )
        for runner in runners:
            workload = runner.workload
            before_us = (self._start_ms - _APART_MS) * 1_000
            await self._database.fill(workload.fill, width=workload.form.width, before_us=before_us, say=self._say)
            last = results.of(workload.half_of)[-1:]
            load = await self._load(runner, rate=last[0].answers / last[0].elapsed / 2 if last else 0.0)
            if self._stopped:
                return
            results.loads.append(load)
            self._say(f"  {load.workload} ({workload.title}): {load.rate:,.0f} /s")

    async def _copy(self, setup: Setup, *, start_us: int) -> CopyRound:
        """Measure one setup of the yardstick."""
        window = self._next_window(self._work.seconds / 4)
        before, cpu = self._parts.look(), time.process_time()
        rows, elapsed = await self._yardstick.copy(setup, window, start_us=start_us)
        client = time.process_time() - cpu
        used = self._parts.look().since(before)
        return CopyRound(setup=setup, rows=rows, elapsed=elapsed, client_cpu=client, database_cpu=used.get("database"))

    async def _load(self, runner: Runner, *, rate: float) -> LoadRound:
        """Measure one workload. What is stored is counted when all has been answered."""
        window = self._next_window(self._work.seconds)
        await self._database.settle()
        since_ms, size = runner.posts.since_ms, await self._database.size()
        count = await self._database.count(runner.names, since_ms=since_ms)
        before, cpu = self._parts.look(), time.process_time()
        done = await runner.run(window, rate=rate)
        generator, cost, reads = time.process_time() - cpu, self._parts.look(), done.beside
        return LoadRound(
            workload=runner.workload.name,
            elapsed=done.elapsed,
            acked=done.items,
            answers=done.answers,
            stored=await self._database.count(runner.names, since_ms=since_ms) - count,
            grown=await self._database.size() - size,
            times=done.times(),
            cpu=cost.since(before),
            generator_cpu=generator,
            resident=cost.resident,
            faults=dict(done.faults),
            beside=None if reads is None else Reads.of(reads, elapsed=done.elapsed),
        )

    def _next_window(self, seconds: float) -> Window:
        self._window = Window(seconds, clock=time.monotonic)
        return self._window

    def _runner(self, workload: Workload) -> Runner:
        prefix = f"bench-{run_id(self._start_ms)}-{workload.name}"
        return Runner(
            workload, self._client, self._broker, prefix=prefix, start_ms=self._start_ms, clock=time.monotonic
        )

    async def _check_access(self) -> None:
        """Ask for something harmless. Raises Unreachable if gateway or broker is not there or does not let us in."""
        await GatewayTarget().check_access(self._client)
        if self._publishes:
            publisher = MqttPublisher(self._broker, client_id="bench-access", on_ack=lambda _: None)
            async with kept([publisher], random=Random()):
                pass

    async def _find_parts(self) -> Parts:
        pid, redis = self._where.gateway_pid, self._where.redis
        roots: dict[Component, frozenset[int]] = {
            "gateway": given(pid) if pid else on_port(self._client.host, self._client.port),
            "database": of_backend(self._database.backend),
            "redis": await of_redis(redis) if redis else frozenset(),
            "broker": on_port(self._broker.host, self._broker.port),
        }
        return Parts(roots)

    def _results(self) -> Results:
        remarks = []
        if self._database.timescaledb is None:
            remarks.append("the database has no TimescaleDB: messages is a plain table")
        missing = [part for part in self._parts.missing if part != "broker" or self._publishes]
        if missing:
            remarks.append(f"cost not told, their processes were not found here: {', '.join(missing)}")
        return Results(
            when=datetime.now(UTC).isoformat(timespec="minutes"),
            machine=describe(),
            ground=self._database.sentence,
            command=self._command,
            seconds=self._work.seconds,
            rounds=self._work.rounds,
            remarks=remarks,
        )
