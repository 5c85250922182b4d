"""The progress of a running load: one live line on a terminal, a plain line every five seconds elsewhere."""

import asyncio
from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct
from rich.console import Console
from rich.live import Live
from rich.text import Text

from simulator.core.counts import add_up
from simulator.send.latency import summary
from simulator.send.loads.base import Load
from simulator.send.pacing import Clock

_LIVE_S, _PLAIN_S = 0.5, 5.0


class Progress(Struct, kw_only=True):
    """How it stands: readings since the start, posts on the way, and milliseconds since the last look."""

    offered: int = 0
    acknowledged: int = 0
    errors: int = 0
    in_flight: int = 0
    waiting: int = 0
    p50: float = 0.0
    p99: float = 0.0


Look = Callable[[], Progress]


def look_at(loads: Sequence[Load]) -> Progress:
    """Return how the loads stand together. What was measured since the last look is measured anew from here."""
    recent = summary(load.latencies.since("progress") for load in loads)
    return Progress(
        offered=sum(load.pace.offered * load.ledger.lane.readings for load in loads),
        acknowledged=sum(load.ledger.acknowledged for load in loads),
        errors=sum(load.errors.total() + sum(load.script.score.wrong.values()) for load in loads),
        in_flight=sum(load.in_flight for load in loads),
        waiting=sum(load.pace.backlog for load in loads),
        p50=recent.p50,
        p99=recent.p99,
    )


def together(all_of_them: Iterable[Progress]) -> Progress:
    """Return how several processes stand together; of percentiles the worst."""
    total = Progress()
    for one in all_of_them:
        worst = max(total.p50, one.p50), max(total.p99, one.p99)
        add_up(total, one)
        total.p50, total.p99 = worst
    return total


class Watcher:
    """Prints to `console` until cancelled."""

    def __init__(self, console: Console, *, clock: Clock) -> None:
        self._console = console
        self._clock = clock

    async def watch(self, look: Look) -> None:
        """Show how it stands until cancelled."""
        began = at = self._clock()
        before = Progress()
        with Live(console=self._console, auto_refresh=False, transient=True) as live:
            while True:
                await asyncio.sleep(_LIVE_S if self._console.is_terminal else _PLAIN_S)
                now, then, at = look(), at, self._clock()
                line = _line(before, now, elapsed=at - began, took=max(at - then, 1e-3))
                if self._console.is_terminal:
                    live.update(line, refresh=True)
                else:
                    self._console.print(line, soft_wrap=True)
                before = now


def _line(before: Progress, now: Progress, *, elapsed: float, took: float) -> Text:
    return Text.assemble(
        (f"{elapsed:.0f} s", "bold"),
        f"  {(now.offered - before.offered) / took:,.0f}/s offered",
        (f"  {(now.acknowledged - before.acknowledged) / took:,.0f}/s acked", "green"),
        f"  {now.in_flight:,}+{now.waiting:,} in flight",
        (f"  {now.errors:,} errors", "red" if now.errors else ""),
        f"  p50 {now.p50:.0f} p99 {now.p99:.0f} ms",
        no_wrap=True,
        overflow="crop",
    )
