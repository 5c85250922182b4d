"""Send one part over MQTT: several publishers, each with its window of messages on the way."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random

from simulator.drivers.mqtt import Broker, MqttPublisher
from simulator.faults.kinds import AGAIN, HANG_UPS, Fault
from simulator.ledger import Ledger
from simulator.loads.base import Load
from simulator.loads.script import Job
from simulator.pacing import Clock, Pace
from simulator.plan import Part

_YIELD_EVERY = 256
"""Messages published in a row before acknowledgements get their turn."""
_ASIDE = -1
"""The token of a message whose acknowledgement changes nothing: it is on the way a second time."""


class MqttLoad(Load):
    """A part over MQTT. A PUBACK says that the broker has a message; whether it is stored, the verdict tells."""

    def __init__(
        self,
        part: Part,
        ledger: Ledger,
        pace: Pace,
        *,
        open_publisher: Callable[[int, Callable[[int], None]], MqttPublisher],
        publishers: int,
        clock: Clock,
        give_up: float,
        phases: int = 1,
    ) -> None:
        """`open_publisher` makes the i-th publisher, given what it is to call for each acknowledgement."""
        super().__init__(part, ledger, pace, clock=clock, give_up=give_up, phases=phases)
        self._publishers = [open_publisher(i, self._acknowledged) for i in range(publishers)]
        self._jobs: dict[int, Job] = {}

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Connect the publishers, so that the first posts do not wait for it. Raises Unreachable."""
        async with AsyncExitStack() as stack:
            for publisher in self._publishers:
                await stack.enter_async_context(publisher)
            yield

    @property
    def in_flight(self) -> int:
        """Posts on the way."""
        return len(self._jobs)

    @property
    def errors(self) -> Counter[str]:
        """Connections lost."""
        return +Counter(connection_lost=sum(publisher.losses for publisher in self._publishers))

    async def run(self) -> None:
        """Send the whole part, as `Load.run` says."""
        async with asyncio.TaskGroup() as group:
            for i, publisher in enumerate(self._publishers):
                group.create_task(self._send_all(publisher), name=f"mqtt.sender[{i}]")

    async def _send_all(self, publisher: MqttPublisher) -> None:
        claims, started = 0, self._clock()
        while (job := self._claim()) is not None:
            await self._wait_for(job.turn)
            if job.fault in HANG_UPS:
                self._hang_up(publisher, job.fault)
            if publisher.has_room or await publisher.room(job.turn.due + self._give_up - self._clock()):
                self._publish(publisher, job)
                started = self._clock()
            else:
                self.pace.unsent += 1
            claims += 1
            if claims % _YIELD_EVERY == 0:
                await asyncio.sleep(0)
        await publisher.drained(started + self._give_up - self._clock())

    def _hang_up(self, publisher: MqttPublisher, fault: Fault) -> None:
        for one in self._publishers if fault is Fault.STORM else [publisher]:
            one.hang_up()

    def _publish(self, publisher: MqttPublisher, job: Job) -> None:
        self.script.count(job)
        self.ledger.write_sent(job.number)
        self._jobs[job.number] = job
        publisher.publish(job.post.topic, job.post.body, token=job.number)
        if job.fault in AGAIN and publisher.has_room:
            again = self.script.again(job)
            publisher.publish(again.post.topic, again.post.body, token=_ASIDE)

    def _acknowledged(self, number: int) -> None:
        if number == _ASIDE:
            return
        job = self._jobs.pop(number)
        self._measure(job.turn)
        expected, ledger = job.expected, self.ledger
        codes = Counter({expected.code: len(expected.refused)})
        self.script.note(job, wrong="", refused=codes.total())
        if not expected.code:
            ledger.write_acknowledged(number, "broker")
        elif len(expected.refused) == ledger.lane.readings:
            ledger.write_refused(number, codes)
        else:
            ledger.write_partly(number, codes, refused=expected.refused)


def open_publishers(
    broker: Broker, *, run: str, seed: int, window: int
) -> Callable[[int, Callable[[int], None]], MqttPublisher]:
    """Return what makes the publishers of a run: stable client ids, each with its own seeded jitter."""

    def open_publisher(i: int, on_ack: Callable[[int], None]) -> MqttPublisher:
        random = Random(f"{seed}.{i}")
        return MqttPublisher(broker, client_id=f"sim-{run}-{i}", on_ack=on_ack, random=random, window=window)

    return open_publisher
