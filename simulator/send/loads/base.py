"""The base of both loads: a part and a pace in, a filled ledger, latencies and a score out.

At-least-once: a post without an answer that settles it is sent again, with the same bytes, until `give_up`; it is
acknowledged once. Latency counts from the intended time of the post to the answer that settles it, retries and all.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Final

from simulator.plan.scenario import Scenario
from simulator.send.latency import Latencies
from simulator.send.ledger import Ledger
from simulator.send.loads.script import Job, Script
from simulator.send.pacing import Clock, Pace, Turn


class Load(ABC):
    """The pace, the ledger and the measurements of one part."""

    def __init__(self, script: Script, ledger: Ledger, pace: Pace, *, scenario: Scenario, clock: Clock) -> None:
        """`scenario` says how long a post that was started is pursued; its seed decides the jitter."""
        self.part: Final = script.part
        self.ledger: Final = ledger
        self.pace: Final = pace
        self.script: Final = script
        self.latencies: Final = Latencies()
        self.phases: Final = [Latencies() for _ in scenario.timeline]
        """The same latencies by phase."""
        self.lateness: Final = Latencies()
        self._clock = clock
        self._give_up = scenario.give_up
        self._random = Random(scenario.seed)

    @property
    @abstractmethod
    def in_flight(self) -> int:
        """Posts on the way."""

    @property
    @abstractmethod
    def errors(self) -> Counter[str]:
        """Attempts that came to nothing, and were or will be made again, by reason."""

    @abstractmethod
    async def run(self) -> None:
        """Send the whole part; return when every post that was sent is settled or given up."""

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Hold open what has to be connected before the first post."""
        yield

    def _claim(self) -> Job | None:
        """Take the next turn, and encode its post while there is still time."""
        turn = self.pace.claim()
        return None if turn is None else self.script.job(turn)

    async def _wait_for(self, turn: Turn) -> bool:
        """Wait until the turn is due; return whether there is still something to send then."""
        late = await self.pace.arrival(turn)
        if late:
            self.lateness.record(late)
        return not self.pace.takes_back(turn)

    def _measure(self, turn: Turn) -> None:
        """Take the time of a turn whose post has just been settled."""
        took = self._clock() - turn.due
        self.latencies.record(took)
        self.phases[self.pace.phase_of(turn)].record(took)
