"""Send one lane's posts at their times and keep its ledger: a lane and a pace in, a filled ledger and latencies out.

At-least-once: a post without an answer that settles it is sent again, with the same bytes, until `give_up`; it is
acknowledged once. Latency counts from the intended time of the post to the answer that settles it, retries and all.
"""

import asyncio
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random
from typing import Final

from simulator.drivers.http import HttpClient
from simulator.drivers.mqtt import Broker, MqttPublisher
from simulator.encode import Encoder, Post
from simulator.errors import ConnectionLost
from simulator.latency import Latencies
from simulator.ledger import Ledger
from simulator.pacing import Clock, Pace, Turn
from simulator.receipts import Answer, Meaning, ReceiptReader

_FIRST_DELAY, _MAX_DELAY = 0.05, 2.0
_LISTED_ERRORS = 100
"""Readings in a post from which on the gateway has to be asked to list every error."""
_YIELD_EVERY = 256
"""Messages published in a row before acknowledgements get their turn."""


class Load(ABC):
    """What both transports share: the pace, the ledger and the measurements of one lane."""

    def __init__(self, encoder: Encoder, ledger: Ledger, pace: Pace, *, clock: Clock, give_up: float) -> None:
        """`give_up` in seconds: how long a post that was started is pursued."""
        self.ledger: Final = ledger
        self.pace: Final = pace
        self.latencies: Final = Latencies()
        self.lateness: Final = Latencies()
        self._encoder = encoder
        self._clock = clock
        self._give_up = give_up

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
        """Send the whole lane; return when every post that was sent is settled or given up."""

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Hold open what has to be connected before the first post."""
        yield

    def _claim(self) -> tuple[Turn, Post] | None:
        """Take the next turn, and encode its post while there is still time."""
        turn = self.pace.claim()
        return None if turn is None else (turn, self._encoder.post(turn.number))

    async def _wait_for(self, turn: Turn) -> None:
        late = await self.pace.arrival(turn)
        if late:
            self.lateness.record(late)


class HttpLoad(Load):
    """A lane over HTTP: as many senders as connections, one post at a time each."""

    def __init__(
        self,
        encoder: Encoder,
        ledger: Ledger,
        pace: Pace,
        *,
        client: HttpClient,
        receipts: ReceiptReader,
        senders: int,
        random: Random,
        clock: Clock,
        give_up: float,
    ) -> None:
        super().__init__(encoder, ledger, pace, clock=clock, give_up=give_up)
        self._client = client
        self._receipts = receipts
        self._senders = senders
        self._random = random
        self._busy = 0
        self._errors: Counter[str] = Counter()
        self._path = "/v1/readings" + ("?errors=all" if ledger.lane.readings > _LISTED_ERRORS else "")

    @property
    def in_flight(self) -> int:
        """Posts on the way."""
        return self._busy

    @property
    def errors(self) -> Counter[str]:
        """Attempts that came to nothing."""
        return self._errors

    async def run(self) -> None:
        """Send the whole lane, as `Load.run` says."""
        async with asyncio.TaskGroup() as group:
            for i in range(self._senders):
                group.create_task(self._send_all(), name=f"http.sender[{i}]")

    async def _send_all(self) -> None:
        while (claimed := self._claim()) is not None:
            turn, post = claimed
            await self._wait_for(turn)
            self._busy += 1
            try:
                await self._deliver(turn, post)
            finally:
                self._busy -= 1

    async def _deliver(self, turn: Turn, post: Post) -> None:
        deadline = self._clock() + self._give_up
        delay = _FIRST_DELAY
        while True:
            answer, retry_after = await self._attempt(post)
            if answer.meaning is not Meaning.AGAIN:
                self._write(turn, answer)
                return
            self._errors[answer.reason] += 1
            pause = max(retry_after, delay * self._random.uniform(0.5, 1.5))
            if self._clock() + pause > deadline:
                return
            await asyncio.sleep(pause)
            delay = min(delay * 2, _MAX_DELAY)

    async def _attempt(self, post: Post) -> tuple[Answer, float]:
        self.ledger.write_sent(post.number)
        try:
            response = await self._client.post(post.body, path=self._path)
        except ConnectionLost:
            return Answer(Meaning.AGAIN, reason="connection_lost"), 0.0
        answer = self._receipts.read(response.status, response.body)
        return answer, parse_retry_after(response.headers.get("retry-after", ""))

    def _write(self, turn: Turn, answer: Answer) -> None:
        self.latencies.record(self._clock() - turn.due)
        ledger, number = self.ledger, turn.number
        if answer.meaning is Meaning.STORED:
            ledger.write_acknowledged(number, answer.durability)
        elif answer.meaning is Meaning.PARTLY:
            ledger.write_partly(number, answer.codes, refused=answer.refused)
        elif answer.meaning is Meaning.REFUSED:
            ledger.write_refused(number, answer.codes)
        else:
            ledger.faults[answer.reason] += 1


class MqttLoad(Load):
    """A lane over MQTT: several publishers, each with its window of messages on the way."""

    def __init__(
        self,
        encoder: Encoder,
        ledger: Ledger,
        pace: Pace,
        *,
        open_publisher: Callable[[int, Callable[[int], None]], MqttPublisher],
        publishers: int,
        clock: Clock,
        give_up: float,
    ) -> None:
        """`open_publisher` makes the i-th publisher, given what it is to call for each acknowledgement."""
        super().__init__(encoder, ledger, pace, clock=clock, give_up=give_up)
        self._publishers = [open_publisher(i, self._acknowledged) for i in range(publishers)]
        self._due: dict[int, float] = {}

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
        return len(self._due)

    @property
    def errors(self) -> Counter[str]:
        """Connections lost."""
        return +Counter(connection_lost=sum(publisher.losses for publisher in self._publishers))

    async def run(self) -> None:
        """Send the whole lane, as `Load.run` says."""
        async with asyncio.TaskGroup() as group:
            for i, publisher in enumerate(self._publishers):
                group.create_task(self._send_all(publisher), name=f"mqtt.sender[{i}]")

    async def _send_all(self, publisher: MqttPublisher) -> None:
        claims, started = 0, self._clock()
        while (claimed := self._claim()) is not None:
            turn, post = claimed
            await self._wait_for(turn)
            if publisher.has_room or await publisher.room(turn.due + self._give_up - self._clock()):
                self._publish(publisher, turn, post)
                started = self._clock()
            else:
                self.pace.unsent += 1
            claims += 1
            if claims % _YIELD_EVERY == 0:
                await asyncio.sleep(0)
        await publisher.drained(started + self._give_up - self._clock())

    def _publish(self, publisher: MqttPublisher, turn: Turn, post: Post) -> None:
        self.ledger.write_sent(turn.number)
        self._due[turn.number] = turn.due
        publisher.publish(post.topic, post.body, token=turn.number)

    def _acknowledged(self, number: int) -> None:
        self.latencies.record(self._clock() - self._due.pop(number))
        self.ledger.write_acknowledged(number, "broker")


def open_publishers(
    broker: Broker, *, run: str, seed: int, window: int
) -> Callable[[int, Callable[[int], None]], MqttPublisher]:
    """Return what makes the publishers of a run: stable client ids, each with its own seeded jitter."""

    def open_publisher(i: int, on_ack: Callable[[int], None]) -> MqttPublisher:
        random = Random(f"{seed}.{i}")
        return MqttPublisher(broker, client_id=f"sim-{run}-{i}", on_ack=on_ack, random=random, window=window)

    return open_publisher


def parse_retry_after(text: str) -> float:
    """Return the seconds of a Retry-After header, 0 if it holds none (a date is not worth the trouble)."""
    return float(text) if text.isascii() and text.isdigit() else 0.0
