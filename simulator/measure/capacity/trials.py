"""Try rates on a gateway: a rate in, a trial out. Each is a whole run, with devices of its own."""

import asyncio
import time
from collections.abc import Callable

from simulator.core.errors import Unreachable
from simulator.measure.capacity.limits import Trial, judge, why
from simulator.measure.capacity.options import CapacityOptions
from simulator.measure.capacity.search import Capacity, search
from simulator.measure.run import ScenarioRun
from simulator.report.report import Report
from simulator.send.sender import ShowProgress


class Trials:
    """One search. `look` does all of it, once; `say` is told each trial."""

    def __init__(
        self, scenario: str | None, options: CapacityOptions, *, watch: ShowProgress, say: Callable[[Trial], None]
    ) -> None:
        """Raise UsageError for options that make no sense."""
        options.check()
        self._scenario = scenario
        self._options = options
        self._watch = watch
        self._say = say
        self._most = options.most(scenario, now_ms=_now_ms())
        self._run: ScenarioRun | None = None
        self._made = 0
        self._ended = ""

    def stop(self) -> None:
        """End the search; the rate that is being tried does not count."""
        self._ended = "stopped"
        if self._run is not None:
            self._run.stop()

    async def look(self) -> Capacity:
        """Search. Raises UsageError and Unreachable, but not once there is something to tell."""
        asked = self._options.search
        trials = await search(self._try, first=asked.first, most=self._most, precision=asked.precision / 100)
        return Capacity(trials=trials, most=self._most, ended=self._ended)

    async def _try(self, rate: float) -> Trial | None:
        options = self._options
        if self._made:
            await asyncio.sleep(options.search.rest)
        if self._ended:
            return None
        self._run = ScenarioRun(options.run_options(), options.plan(self._scenario, rate, now_ms=_now_ms()))
        try:
            report = await self._run.execute(self._watch, on_sent=lambda: None)
        except Unreachable as error:
            if not self._made:
                raise
            self._ended = str(error)
            return None
        if not self._ended and _is_refused(report):
            self._ended = f"nothing is acknowledged at any rate: {why(report)}; {'; '.join(report.notes)}"
        if self._ended:
            return None
        trial = judge(report, options.search.limits, rate=rate)
        self._made += 1
        self._say(trial)
        return trial


def _is_refused(report: Report) -> bool:
    """Whether all was refused for good: a lower rate would be refused as well."""
    tried_again = any(lane.errors for lane in report.lanes)
    return bool(report.wrong_answers) and not tried_again and not any(lane.acknowledged for lane in report.lanes)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
