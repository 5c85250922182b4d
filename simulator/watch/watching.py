"""The watch beside a load: a plan and a client in; when readings of some devices were seen, and what was not, out.

Owns the two tasks that read, and the one that notes what was seen. Sends no readings, and judges nothing before all
was sent: `judging` does.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Self

from simulator.plan.plan import Plan
from simulator.send.drivers.http import HttpClient
from simulator.send.ledger import Ledger
from simulator.send.pacing import Clock, Sleep
from simulator.send.results import PartResult, WorkerResult
from simulator.verify.referee import Verdict
from simulator.watch.judging import Judgement, judge
from simulator.watch.notes import Notes
from simulator.watch.observations import Observations
from simulator.watch.sample import choose
from simulator.watch.stream import Polls, SseEvent, StreamReader
from simulator.watch.summary import NOT_WATCHED, Watch, tell_parts, tell_timelines, tell_verdict

_BEGIN_S = 5.0
"""Seconds that the stream may take to begin."""
LOST = "it was lost before the end"
_LOOK_S, _MAX_LOOK_S = 0.2, 2.0
_NOTE_S = 1.0
Keep = Callable[[bytes], object]
"""Appends to what outlives the process. May raise OSError."""


class Watching:
    """The watch of one run. `async with` begins and ends it; in between, `settle` once all is sent."""

    def __init__(
        self, client: HttpClient, plan: Plan, *, clock: Clock, sleep: Sleep = asyncio.sleep, keep: Keep | None = None
    ) -> None:
        """`client` may read the devices, and asks for nobody else; `keep` is given what was seen, once a second."""
        self._plan = plan
        self._clock = clock
        self._sleep = sleep
        self._watched = choose(plan)
        names = [one.name for one in self._watched]
        self._observations = Observations(self._watched, clock=clock)
        self._polls = Polls(client, names, take=self._observations.take_states, clock=clock, sleep=sleep)
        random = Random(f"{plan.scenario.seed}.watch")
        self._stream = StreamReader(client, names, take=self._take_event, random=random, sleep=sleep)
        self._notes = Notes(self._observations)
        self._keep = keep
        self._unkept = ""
        self._judgement = Judgement()
        self._tasks: list[asyncio.Task[None]] = []
        self._has_begun = asyncio.Event()
        self._late = ""
        self.told = NOT_WATCHED
        """How well it was watched, once all has settled."""

    async def __aenter__(self) -> Self:
        if self._watched:
            self._tasks = [
                asyncio.create_task(self._stream.run(), name="watch.stream"),
                asyncio.create_task(self._polls.run(), name="watch.polls"),
                asyncio.create_task(self._note_all(), name="watch.notes"),
            ]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        for ended in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended

    async def begun(self) -> None:
        """Wait a little for the stream: what is sent before it begins it does not show."""
        if not self._watched:
            return
        waiting = asyncio.create_task(self._has_begun.wait(), name="watch.begun")
        try:
            await asyncio.wait([*self._tasks, waiting], timeout=_BEGIN_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        if not self._observations.has_begun:
            self._late = self._stream.refused or f"it did not begin within {_BEGIN_S:g} s"

    async def _note_all(self) -> None:
        """Note every second what is new, until cancelled."""
        while True:
            await self._sleep(_NOTE_S)
            self._note(self._look(), until=self._clock())

    def _note(self, told: Watch, *, until: float, has_settled: bool = False) -> None:
        """Keep what is new. After a failure nothing more is kept: what stands there is whole."""
        if self._keep is None or self._unkept or not self._watched:
            return
        try:
            self._keep(self._notes.line(told, until=until, has_settled=has_settled))
        except OSError as error:
            self._unkept = str(error)

    def _take_event(self, event: SseEvent) -> None:
        self._observations.take_event(event)
        if self._observations.has_begun:
            self._has_begun.set()

    async def settle(
        self, ledgers: Sequence[Ledger], results: Sequence[WorkerResult], *, patience: float, quiet: float
    ) -> None:
        """Wait until all that was acknowledged was seen, then put what was seen into the results.

        Not longer than `patience` seconds, nor than `quiet` seconds after the last news of a stream that is open.
        """
        parts = self._by_part(results)
        began = {index: result.began for index, result in parts.items() if result.began}
        deadline, pause = self._clock() + patience, _LOOK_S
        while True:
            now = self._clock()
            found, told = self._judge(ledgers, began, now=now), self._look()
            is_quiet = told.stream_unwatched != LOST and self._clock() - self._observations.news_at >= quiet
            if not _is_waited_for(found, told) or is_quiet or self._clock() >= deadline:
                break
            await self._sleep(min(pause, max(0.0, deadline - self._clock())))
            pause = min(2 * pause, _MAX_LOOK_S)
        self._note(told, until=now, has_settled=True)
        self._judgement, self.told = found, replace(told, unkept=self._unkept)
        tell_parts(parts, found, told)
        tell_timelines(self._plan, results, found, told)

    def add_to(self, verdict: Verdict) -> None:
        """Add what the stream left out, or showed and should not have."""
        tell_verdict(verdict, self._judgement, self.told)

    def _judge(self, ledgers: Sequence[Ledger], began: Mapping[int, float], *, now: float) -> Judgement:
        phases = len(self._plan.scenario.timeline)
        return judge(self._observations, ledgers, began=began, phases=phases, now=now)

    def _look(self) -> Watch:
        """Return what was watched until now, and how well."""
        polls, observations = self._polls, self._observations
        if not self._watched:
            why = "nobody asked for it" if not self._plan.scenario.watch else "one device alone has too many readings"
            return Watch(state_unwatched=why, stream_unwatched=why)
        lost = "" if self._stream.is_open or self._late else self._stream.refused or LOST
        return Watch(
            devices=len(self._watched),
            state_reads=polls.answered,
            state_reads_failed=polls.failed,
            state_reads_left_out=polls.left_out,
            state_unwatched="" if polls.answered else polls.trouble or "no question was answered",
            stream_connections=self._stream.connections,
            stream_resets=dict(observations.resets),
            stream_skipped=observations.skipped,
            stream_unwatched=self._late or lost,
        )

    def _by_part(self, results: Sequence[WorkerResult]) -> dict[int, PartResult]:
        """Return the results by the index of their part: each process lists its own in the order of the plan."""
        found: dict[int, PartResult] = {}
        for worker, result in enumerate(results):
            own = [part for part in self._plan.parts() if part.worker == worker]
            found |= {part.index: one for part, one in zip(own, result.parts, strict=True)}
        return found


def _is_waited_for(found: Judgement, told: Watch) -> bool:
    """Whether something that was acknowledged has not been seen, and may still be."""
    state = not told.state_unwatched and any(one.unseen for one in found.state.values())
    gaps = any(one.stream_gaps for one in found.findings.values())
    stream = not told.stream_unwatched and (gaps or any(one.unseen for one in found.stream.values()))
    return state or stream or told.stream_unwatched == LOST
