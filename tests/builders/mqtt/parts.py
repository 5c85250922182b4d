"""Doubles on both sides of the consumer: an intake and dead letters that do as told, a real publisher, and waiting."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import ClassVar
from urllib.parse import urlsplit

import aiomqtt
import msgspec
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from gateway.core.errors import GatewayError
from gateway.core.settings import MqttSettings
from gateway.domain.contracts.ingest import Charge, DeadLetters
from gateway.domain.dead_letters import DeadLetter
from gateway.domain.model import Receipt, Refusal
from gateway.domain.principal import Principal
from gateway.domain.rate_limit import Meters
from gateway.mqtt.consumer import Consumer, build
from tests.fakes.scripted_broker import ScriptedBroker

TOPIC = "devices/d1/readings"
CLEAN = Receipt(1, 0, 0, 0, "db", [], errors_truncated=False)
TURNS = 200
"""Turns of the event loop; reading what has come takes a few."""
DEADLINE_SECS = 12.0
"""Below the keepalive: a ping would wake a reader that has forgotten what it holds."""


def settings(broker: ScriptedBroker, *, receive_max: int = 100, share: str = "") -> MqttSettings:
    """Settings that lead to a scripted broker."""
    url = f"mqtt://u:p%40ss@127.0.0.1:{broker.port}"
    return MqttSettings(url=url, receive_max=receive_max, share=share, client_id="gateway-1")


def receipt(*codes: str, accepted: int = 1) -> Receipt:
    """A receipt with one refusal of one reading for each code."""
    errors = [Refusal(0, f"/values/{i}", code, f"value {i} is bad", readings=1) for i, code in enumerate(codes)]
    return Receipt(accepted, 0, 0, len(errors), "db", errors, errors_truncated=False)


async def settled() -> None:
    """Let everything have its turns of the event loop that can go on: bytes that were sent lie in our own sockets."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


async def until(condition: Callable[[], bool], what: str = "condition") -> None:
    """Wait until it holds; AssertionError after the deadline."""
    deadline = time.monotonic() + DEADLINE_SECS
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come true within {DEADLINE_SECS} s"
        await asyncio.sleep(0.005)


async def _at_once(_body: bytes) -> Receipt:
    return CLEAN


class Hurried:
    """A body that a scripted intake has in hand, as a door shows it that did not wait for it."""

    def __init__(self, ticket: "asyncio.Task[Receipt]") -> None:
        self.ticket = ticket

    @property
    def is_clean(self) -> bool:
        return not self.ticket.cancelled() and self.ticket.exception() is None and not self.ticket.result().errors

    def receipt(self) -> Receipt:
        return self.ticket.result()

    def abandon(self) -> None:
        assert self.ticket.done()


@dataclass
class ScriptedIntake:
    """Answers each body as `answer` says, and remembers."""

    hurries: ClassVar[bool] = False
    """Whether it takes every body at once that it is offered so."""
    answer: Callable[[bytes], Awaitable[Receipt]] = _at_once
    begun: list[bytes] = field(default_factory=list)
    stored: list[bytes] = field(default_factory=list)
    devices: list[str | None] = field(default_factory=list)
    let_go: list[bytes] = field(default_factory=list)
    """What a brake did not hold, though it was over a limit."""
    principals: set[Principal] = field(default_factory=set)

    def at_once(self, body: bytes, *, principal: Principal, device: str | None, source: str) -> Hurried | None:
        if not self.hurries:
            return None
        taking = self.take(body, principal=principal, device=device, source=source)
        return Hurried(asyncio.create_task(taking, name="hurried"))

    async def take(
        self,
        body: bytes,
        *,
        principal: Principal,
        device: str | None,
        source: str,
        received_us: int | None = None,
        charge: Charge | None = None,
    ) -> Receipt:
        assert (source, received_us) == ("mqtt", None)
        self.begun.append(body)
        if charge is not None:
            self.let_go += [body] if await charge(1) else []
        self.devices.append(device)
        self.principals.add(principal)
        answer = await self.answer(body)
        self.stored.append(body)
        return answer


class Gate:
    """An answer that waits for `open`, by body; `open_all` lets everything through."""

    def __init__(self) -> None:
        self._gates: dict[bytes, asyncio.Event] = {}
        self._all = False

    async def __call__(self, body: bytes) -> Receipt:
        if not self._all:
            await self._gates.setdefault(body, asyncio.Event()).wait()
        return CLEAN

    def open(self, body: bytes) -> None:
        self._gates.setdefault(body, asyncio.Event()).set()

    def open_all(self) -> None:
        self._all = True
        for admission in self._gates.values():
            admission.set()


@dataclass
class Letters:
    """Keeps dead letters in memory; fails first as often as `failures` says."""

    failures: list[Exception] = field(default_factory=list)
    kept: list[DeadLetter] = field(default_factory=list)

    async def put(self, letters: Sequence[DeadLetter]) -> None:
        await asyncio.sleep(0)
        if self.failures:
            raise self.failures.pop(0)
        self.kept.extend(letters)


class FastRandom(Random):
    """Chance that never waits long: every jitter is a hundredth of what it could be."""

    def uniform(self, a: float, b: float) -> float:
        return a + (b - a) * 0.01


def consumer_of(
    settings: MqttSettings, intake: ScriptedIntake, letters: DeadLetters | None = None, *, meters: Meters | None = None
) -> Consumer:
    """A consumer that is not started; `settings.client_id` names its session."""
    return build(
        settings,
        intake,
        letters or Letters(),
        encode=msgspec.json.encode,
        client_id=settings.client_id,
        rng=FastRandom(1),
        meters=meters,
    )


@asynccontextmanager
async def running(
    settings: MqttSettings, intake: ScriptedIntake, letters: DeadLetters | None = None, *, meters: Meters | None = None
) -> AsyncIterator[Consumer]:
    """A consumer whose subscription stands; stopped without waiting for what is in hand."""
    consumer = consumer_of(settings, intake, letters, meters=meters)
    consumer.start()
    try:
        await until(lambda: consumer.connected, "connected")
        yield consumer
    finally:
        await consumer.stop(within_secs=0)


@asynccontextmanager
async def device_client(
    url: str, *, client_id: str, version: aiomqtt.ProtocolVersion = aiomqtt.ProtocolVersion.V5
) -> AsyncIterator[aiomqtt.Client]:
    """A device's connection."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    async with aiomqtt.Client(parts.hostname, parts.port, identifier=client_id, protocol=version) as client:
        yield client


async def publish(
    url: str, topic: str, bodies: Sequence[bytes], *, qos: int = 1, version: aiomqtt.ProtocolVersion
) -> None:
    """Publish in order; with QoS 1 return when the broker has acknowledged all.

    rumqttd sometimes hangs up on a client right after its CONNACK; nothing was sent then, so that is tried again.
    """
    for last in (False, False, True):
        async with device_client(url, client_id=f"publisher-{time.monotonic_ns()}", version=version) as client:
            if client._disconnected.done() and not last:
                continue
            for body in bodies:
                await client.publish(topic, body, qos=qos)
            return


def asking_for_a_receipt(topic: str, correlation: bytes) -> Properties:
    """The MQTT 5 properties of a request (4.10)."""
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.ResponseTopic = topic
    properties.CorrelationData = correlation
    return properties


def failing(errors: Sequence[Exception], then: Receipt = CLEAN) -> Callable[[bytes], Awaitable[Receipt]]:
    """An answer that raises these first, whatever the body, and then answers."""
    left = list(errors)

    async def answer(_body: bytes) -> Receipt:
        await asyncio.sleep(0)
        if left:
            raise left.pop(0)
        return then

    return answer


def poisonous(bodies: dict[bytes, GatewayError | Exception]) -> Callable[[bytes], Awaitable[Receipt]]:
    """An answer that always raises for these bodies and is clean for the rest."""

    async def answer(body: bytes) -> Receipt:
        await asyncio.sleep(0)
        if body in bodies:
            raise bodies[body]
        return CLEAN

    return answer
