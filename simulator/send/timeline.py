"""The timeline of a run, second by second: what loads count in, rows that add up over processes out. No I/O.

Memory is bounded: when there are more rows than `MAX_ROWS`, each two become one, of twice the time. Latencies are kept
in coarse buckets (`latency`), so that rows of several processes add up and still have percentiles.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from math import ceil
from typing import Any

from msgspec import Struct, field

from simulator.core.counts import add_up
from simulator.plan.fleet import Transport
from simulator.send.latency import Buckets, coarse, percentiles
from simulator.send.loads.base import Load
from simulator.send.pacing import Clock, Sleep

MAX_ROWS = 600
_WRONG = "wrong answer"
_EARLY_S = 0.05
"""A sleep may end that much early."""
_REST_S = 0.1


class Row(Struct, kw_only=True):
    """What happened in one stretch of time: readings, attempts that failed by reason, posts by bucket of latency.

    `state` and `stream` are messages of watched devices that were due in it, by bucket of the time until seen there.
    """

    offered: int = 0
    acknowledged: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    latencies: Buckets = field(default_factory=dict)
    state: Buckets = field(default_factory=dict)
    stream: Buckets = field(default_factory=dict)


class Timeline(Struct, kw_only=True):
    """The rows of one transport; `width` in seconds is how long each is."""

    width: int = 1
    rows: list[Row] = field(default_factory=list)

    def put(self, second: int, row: Row) -> None:
        """Add what happened in a second since the start."""
        while second // self.width >= MAX_ROWS:
            self.widen()
        at = second // self.width
        while len(self.rows) <= at:
            self.rows.append(Row())
        add_up(self.rows[at], row)

    def widen(self) -> None:
        """Make each two rows one."""
        for even, odd in zip(self.rows[::2], self.rows[1::2], strict=False):
            add_up(even, odd)
        self.rows = self.rows[::2]
        self.width *= 2

    def add(self, other: "Timeline") -> None:
        """Take in what another process saw."""
        while self.width < other.width:
            self.widen()
        for at, row in enumerate(other.rows):
            self.put(at * other.width, row)

    def to_json(self) -> dict[str, Any]:
        """Return it for programs: seconds of each row; counts, and percentiles in ms where something was measured."""
        return {
            "seconds": self.width,
            "rows": [
                {
                    "offered": row.offered,
                    "acknowledged": row.acknowledged,
                    "errors": row.errors,
                    "latency_ms": percentiles(row.latencies),
                    "state_ms": percentiles(row.state),
                    "stream_ms": percentiles(row.stream),
                }
                for row in self.rows
            ],
        }


class Recorder:
    """Reads once a second what loads have counted; `record` runs until cancelled, `finish` takes in the rest."""

    def __init__(self, loads: Sequence[Load], *, clock: Clock, sleep: Sleep = asyncio.sleep) -> None:
        self.timelines: dict[Transport, Timeline] = {load.ledger.lane.transport: Timeline() for load in loads}
        self._loads = loads
        self._clock = clock
        self._sleep = sleep
        self._began = clock()
        self._seen = [Row() for _ in loads]

    async def record(self) -> None:
        """Read at the end of every second since this was made."""
        second = 0
        while True:
            second = max(second, int(self._clock() - self._began)) + 1
            await self._sleep(max(0.0, self._began + second - self._clock()))
            self._read(int(self._clock() - self._began + _EARLY_S) - 1)

    def finish(self) -> None:
        """Read what is left; if that is very little it belongs to the last second."""
        self._read(ceil(self._clock() - self._began - _REST_S) - 1)

    def _read(self, second: int) -> None:
        for at, load in enumerate(self._loads):
            now, before = _counted(load), self._seen[at]
            row = Row(
                offered=max(0, now.offered - before.offered),  # what is stopped takes back what was due
                acknowledged=now.acknowledged - before.acknowledged,
                errors=dict(Counter(now.errors) - Counter(before.errors)),
                latencies=coarse(load.latencies.since("timeline")),
            )
            self._seen[at] = now
            self.timelines[load.ledger.lane.transport].put(max(0, second), row)


def merged(all_of_them: Sequence[dict[Transport, Timeline]]) -> dict[Transport, Timeline]:
    """Return the timelines of several processes as one of each transport, all with rows of the same time."""
    total: dict[Transport, Timeline] = {}
    for one in all_of_them:
        for transport, timeline in sorted(one.items()):
            total.setdefault(transport, Timeline()).add(timeline)
    width = max((timeline.width for timeline in total.values()), default=1)
    for timeline in total.values():
        while timeline.width < width:
            timeline.widen()
    return total


def _counted(load: Load) -> Row:
    wrong = sum(load.script.score.wrong.values())
    errors = dict(load.errors) | ({_WRONG: wrong} if wrong else {})
    readings = load.ledger.lane.readings
    return Row(offered=load.pace.offered * readings, acknowledged=load.ledger.acknowledged, errors=errors)
