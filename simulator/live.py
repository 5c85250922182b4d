"""Show how a running load stands: one live line on a terminal, a plain line every five seconds elsewhere."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.live import Live
from rich.text import Text

from simulator.latency import recent_percentiles
from simulator.load import Load
from simulator.pacing import Clock

_LIVE_S, _PLAIN_S = 0.5, 5.0


@dataclass(frozen=True, slots=True)
class _Counts:
    at: float
    offered: int
    acknowledged: int


class Watcher:
    """Prints to `console` until cancelled."""

    def __init__(self, console: Console, *, clock: Clock) -> None:
        self._console = console
        self._clock = clock

    async def watch(self, loads: Sequence[Load]) -> None:
        """Show the loads until cancelled."""
        began = self._clock()
        before = _Counts(began, 0, 0)
        with Live(console=self._console, auto_refresh=False, transient=True) as live:
            while True:
                await asyncio.sleep(_LIVE_S if self._console.is_terminal else _PLAIN_S)
                now = _count(loads, at=self._clock())
                line = _line(loads, before, now, elapsed=now.at - began)
                if self._console.is_terminal:
                    live.update(line, refresh=True)
                else:
                    self._console.print(line, soft_wrap=True)
                before = now


def _count(loads: Sequence[Load], *, at: float) -> _Counts:
    offered = sum(load.pace.offered * load.ledger.lane.readings for load in loads)
    return _Counts(at, offered, sum(load.ledger.acknowledged for load in loads))


def _line(loads: Sequence[Load], before: _Counts, now: _Counts, *, elapsed: float) -> Text:
    took = max(now.at - before.at, 1e-3)
    p50, p99 = recent_percentiles([sample for load in loads for sample in load.latencies.take_recent()])
    errors = sum(load.errors.total() + load.ledger.codes.total() for load in loads)
    waiting = sum(load.pace.backlog for load in loads)
    return Text.assemble(
        (f"{elapsed:.0f} s", "bold"),
        f"  {(now.offered - before.offered) / took:,.0f}/s offered",
        (f"  {(now.acknowledged - before.acknowledged) / took:,.0f}/s acked", "green"),
        f"  {sum(load.in_flight for load in loads):,}+{waiting:,} in flight",
        (f"  {errors:,} errors", "red" if errors else ""),
        f"  p50 {p50:.0f} p99 {p99:.0f} ms",
        no_wrap=True,
        overflow="crop",
    )
