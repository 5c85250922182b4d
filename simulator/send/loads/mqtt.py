"""A load over MQTT: each device on one connection, each connection with its window of messages on the way.

One task takes the turns in order and never waits for a connection that has no room: what is for that one is set aside,
at most `_MAX_ASIDE` posts, and goes out when there is room again.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial

from simulator.core.addresses import Broker
from simulator.plan.faults import AGAIN, HANG_UPS, Fault
from simulator.plan.scenario import Scenario
from simulator.send.drivers.mqtt import MqttPublisher
from simulator.send.drivers.upkeep import kept
from simulator.send.ledger import Ledger
from simulator.send.loads.base import Load
from simulator.send.loads.script import Job, Script
from simulator.send.pacing import Clock, Pace

_YIELD_EVERY = 256
"""Messages published in a row before acknowledgements get their turn."""
_MAX_ASIDE = 10_000
_MOST_ON_THE_WAY = 200_000
"""Messages on the way on all connections of a part together: 150 MB of memory."""
_SECOND = -1
"""The token of a message whose acknowledgement changes nothing: it is on the way a second time."""


class MqttLoad(Load):
    """A part over MQTT. A PUBACK says that the broker has a message; whether it is stored, the verdict tells."""

    def __init__(
        self, script: Script, ledger: Ledger, pace: Pace, *, scenario: Scenario, clock: Clock, broker: Broker, run: str
    ) -> None:
        """`run` is in the client ids, which are stable."""
        super().__init__(script, ledger, pace, scenario=scenario, clock=clock)
        count = self.part.connections
        window = max(1, min(scenario.window, _MOST_ON_THE_WAY // count))
        self._publishers = [
            MqttPublisher(broker, client_id=f"sim-{run}-{i}", on_ack=self._acknowledged, window=window)
            for i in range(count)
        ]
        self._jobs: dict[int, Job] = {}
        self._seconds = 0
        self._aside: dict[int, deque[Job]] = {}
        self._waiting = 0
        self._news = asyncio.Event()
        for i, publisher in enumerate(self._publishers):
            publisher.on_room = partial(self._send_aside, i)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Connect the publishers, so that the first posts do not wait for it. Raises Unreachable."""
        async with kept(self._publishers, random=self._random):
            yield

    @property
    def in_flight(self) -> int:
        """Posts on the way."""
        return len(self._jobs) + self._waiting

    @property
    def errors(self) -> Counter[str]:
        """Connections lost."""
        return +Counter(connection_lost=sum(publisher.losses for publisher in self._publishers))

    async def run(self) -> None:
        """Send the whole part, as `Load.run` says."""
        try:
            started = await self._send_all()
            await self._until(
                lambda: not self._jobs and not self._seconds and not self._waiting, started + self._give_up
            )
        finally:
            self.pace.unsent += self._waiting
            self._aside.clear()  # other fleets may still be sending: no connection shall find them later
            self._waiting = 0

    async def _send_all(self) -> float:
        """Publish all; return when the last one began."""
        claims, started = 0, self._clock()
        while (job := self._claim()) is not None:
            if not await self._wait_for(job.turn):
                continue
            started = self._clock()
            await self._send(job)
            claims += 1
            if claims % _YIELD_EVERY == 0:
                await asyncio.sleep(0)
        return started

    async def _send(self, job: Job) -> None:
        at = self._connection_of(job)
        publisher = self._publishers[at]
        if job.fault in HANG_UPS:
            for one in self._publishers if job.fault is Fault.STORM else [publisher]:
                one.hang_up()
        if publisher.has_room and at not in self._aside:
            self._publish(publisher, job)
        elif self._waiting < _MAX_ASIDE or await self._until(
            lambda: self._waiting < _MAX_ASIDE, job.turn.due + self._give_up
        ):
            self._aside.setdefault(at, deque()).append(job)
            self._waiting += 1
            self._send_aside(at)
        else:
            self.pace.unsent += 1

    def _connection_of(self, job: Job) -> int:
        """Return which connection the device of a post has: always the same."""
        lane = self.part.lane
        return job.number * lane.messages // lane.run % lane.devices % len(self._publishers)

    def _send_aside(self, at: int) -> None:
        """Publish what waits for a connection while that has room; what has waited for too long is given up."""
        jobs, publisher = self._aside.get(at), self._publishers[at]
        if jobs is None:
            return
        while jobs and (publisher.has_room or self._is_too_late(jobs[0])):
            job = jobs.popleft()
            self._waiting -= 1
            if self._is_too_late(job):
                self.pace.unsent += 1
            else:
                self._publish(publisher, job)
        if not jobs:
            del self._aside[at]
        self._news.set()

    def _is_too_late(self, job: Job) -> bool:
        return self._clock() > job.turn.due + self._give_up

    async def _until(self, is_so: Callable[[], bool], deadline: float) -> bool:
        """Wait until it is so, at the longest until then; return whether it is."""
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, deadline - self._clock())):
                while not is_so():
                    self._news.clear()
                    await self._news.wait()
        return is_so()

    def _publish(self, publisher: MqttPublisher, job: Job) -> None:
        self.script.count(job)
        self.ledger.write_sent(job.number)
        self._jobs[job.number] = job
        publisher.publish(job.post.topic, job.post.body, token=job.number)
        if job.fault in AGAIN and publisher.has_room:
            again = self.script.again(job)
            self._seconds += 1
            publisher.publish(again.post.topic, again.post.body, token=_SECOND)

    def _acknowledged(self, number: int) -> None:
        if number == _SECOND:
            self._seconds -= 1
        else:
            self._settle(self._jobs.pop(number))
        if not self._jobs and not self._seconds:
            self._news.set()

    def _settle(self, job: Job) -> None:
        self._measure(job.turn)
        number, expected, ledger = job.number, job.expected, self.ledger
        if not expected.code:
            ledger.write_acknowledged(number, "broker")
            return
        codes = Counter({expected.code: len(expected.refused)})
        self.script.note(job, wrong="", refused=codes.total())
        if len(expected.refused) == ledger.lane.readings:
            ledger.write_refused(number, codes)
        else:
            ledger.write_partly(number, codes, refused=expected.refused)
