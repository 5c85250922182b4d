"""In: what is published. Out: what a consumer over a real intake says to it. Never a broker, never a socket."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from gateway.core import settings
from gateway.core.errors import GatewayError
from gateway.core.settings import MqttSettings
from gateway.domain.contracts.ingest import Written
from gateway.domain.layouts import Layouts
from gateway.domain.model import Batch
from gateway.domain.principal import Principal
from gateway.ingest.intake import BodyIntake
from gateway.ingest.pending import SubmittedBody
from gateway.ingest.pipeline.committer import Committer
from gateway.ingest.pipeline.stall import Stall
from gateway.ingest.receipts import to_json
from gateway.mqtt.consumer import Consumer
from gateway.mqtt.handler import MessageHandler
from gateway.mqtt.message import MqttMessage
from gateway.mqtt.session import BrokerSession
from gateway.mqtt.topics import parse_topic
from tests.builders.gates import usual_gate
from tests.builders.mqtt.parts import Letters
from tests.fakes.clock import ManualClock
from tests.fakes.directory import MemoryDirectory
from tests.fakes.sink import MemorySink

NOW_US = 1_700_000_000_000_000
REJECTED = "rejected"
"""A device whose readings the database refuses."""
MAX_PAYLOAD_BYTES = 200
SOON = 10.0


class Published(NamedTuple):
    """One PUBLISH, and how the database refuses what comes with it."""

    topic: str
    body: bytes
    qos: int = 1
    answers: str | None = None
    refusals: Sequence[type[GatewayError]] = ()


class Wire:
    """A connection that notes what is said on it."""

    def __init__(self) -> None:
        self.sent = 0
        self.acks: list[int] = []
        self.replies: list[tuple[str, bytes, bytes | None]] = []

    def ack(self, mid: int) -> None:
        self.acks.append(mid)

    def reply(self, topic: str, body: bytes, correlation: bytes | None) -> None:
        self.replies.append((topic, body, correlation))


class MoodySink(MemorySink):
    """A sink that first raises whatever lies in `moods`."""

    moods: Sequence[type[GatewayError]] = ()

    async def write(self, group: Sequence[Batch], *, atomic: bool = False) -> Written:
        if self.moods:
            mood, *self.moods = self.moods
            raise mood
        return await super().write(group, atomic=atomic)


class Counting(BodyIntake):
    """An intake that counts what it took at once, or does not do so."""

    hurries = True
    taken = 0

    def at_once(
        self, body: bytes, *, principal: Principal, device: str | None = None, source: str = "http"
    ) -> SubmittedBody | None:
        if not self.hurries:
            return None
        pending = super().at_once(body, principal=principal, device=device, source=source)
        self.taken += pending is not None
        return pending


class NoRest(Random):
    """Chance that never makes anybody wait."""

    def uniform(self, a: float, b: float) -> float:  # noqa: ARG002
        return a


@dataclass
class Direct:
    """A consumer, and what lies behind it."""

    consumer: Consumer
    intake: Counting
    sink: MoodySink
    letters: Letters

    def hand_over(self, wire: Wire, burst: Sequence[Published]) -> None:
        """Let messages arrive together."""
        self.sink.moods = [mood for one in burst for mood in one.refusals]
        for one in burst:
            wire.sent += one.qos
            message = MqttMessage(wire, one.topic, one.body, qos=one.qos, mid=wire.sent)
            message.response_topic, message.correlation_data = one.answers, b"c"
            self.consumer._arrived(message)

    async def publish(self, wire: Wire, burst: Sequence[Published]) -> set[str]:
        """Hand messages over; return the names of the tasks that there were, when all is settled."""
        self.hand_over(wire, burst)
        names: set[str] = set()
        async with asyncio.timeout(SOON):
            while self.consumer._working:
                names |= {task.get_name() for task in asyncio.all_tasks()}
                await asyncio.sleep(0)
        return names


@asynccontextmanager
async def direct(*, hurries: bool) -> AsyncIterator[Direct]:
    """Serve until the end of the block; without `hurries` each message takes a task."""
    layouts, directory, letters = Layouts(), MemoryDirectory(), Letters()
    directory.add("d1", "d2", REJECTED)
    sink = MoodySink(dead_letters=letters)
    sink.rejects[REJECTED] = "23514: no"
    admission = usual_gate(directory, layouts)
    async with Committer(sink, _shown, limits=settings.QueueSettings(), slots=1) as committer:
        intake = Counting(
            admission, committer, layouts, ManualClock(NOW_US), stall=Stall(lambda: 0.0), max_readings=100
        )
        intake.hurries = hurries
        yield Direct(consumer_of(intake, letters), intake, sink, letters)


def consumer_of(intake: BodyIntake, letters: Letters) -> Consumer:
    """A consumer whose session is never begun."""
    topics = parse_topic("devices/{device}/readings", share="")
    session = BrokerSession(
        MqttSettings(url="mqtt://127.0.0.1:1"), topics.subscription, client_id="direct", rng=NoRest()
    )
    handler = MessageHandler(topics, intake, encode=to_json, max_payload_bytes=MAX_PAYLOAD_BYTES)
    return Consumer(session, handler, letters, max_messages=1000, rng=NoRest())


async def _shown(_: object) -> None:
    pass
