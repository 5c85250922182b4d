"""Take the measure of one thing: what is to run in, its figures out, with what it cost every part and left on disk."""

import time
from dataclasses import dataclass

from simulator.measure.bench.database import Database
from simulator.measure.bench.parts import Parts
from simulator.measure.bench.results import CopyRound, LoadRound
from simulator.measure.bench.runners import Runner
from simulator.measure.bench.window import Window
from simulator.measure.bench.yardstick import Setup, Yardstick
from simulator.verify.stored import StoredReadings


@dataclass(frozen=True, slots=True)
class Meter:
    """Where to look before and after. Every method raises Unreachable."""

    database: Database
    stored: StoredReadings
    parts: Parts

    async def copy(self, yardstick: Yardstick, setup: Setup, window: Window, *, start_us: int) -> CopyRound:
        """Measure one setup of the yardstick."""
        before, cpu = self.parts.look(), time.process_time()
        rows, elapsed = await yardstick.copy(setup, window, start_us=start_us)
        client = time.process_time() - cpu
        used = self.parts.look().since(before)
        return CopyRound(setup=setup, rows=rows, elapsed=elapsed, client_cpu=client, database_cpu=used.get("database"))

    async def load(self, runner: Runner, window: Window) -> LoadRound:
        """Measure one workload. What is stored is counted when all has been answered."""
        await self.database.settle()
        since_ms, size = runner.posts.since_ms, await self.database.size()
        count = await self.stored.count(runner.names, since_ms=since_ms)
        before, cpu = self.parts.look(), time.process_time()
        outcome = await runner.run(window)
        generator = time.process_time() - cpu
        cost = self.parts.look()
        return LoadRound(
            workload=runner.workload.name,
            elapsed=outcome.elapsed,
            acked=outcome.acked,
            answers=outcome.answers,
            stored=await self.stored.count(runner.names, since_ms=since_ms) - count,
            grown=await self.database.size() - size,
            times=outcome.tally.times(),
            cpu=cost.since(before),
            generator_cpu=generator,
            resident=cost.resident,
            faults=dict(outcome.tally.faults),
            beside=outcome.beside,
        )
