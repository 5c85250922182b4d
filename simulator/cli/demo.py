"""The command `simulator demo`: a few devices that report for ever, half over HTTP and half over MQTT, gently.

For looking at, not for measuring: it keeps no ledger, and what cannot be sent is dropped, for it is soon old. A gateway
or a broker that is away is waited for. Ends with exit code 0 on SIGTERM or SIGINT.
"""

import asyncio
import signal
import time
from dataclasses import dataclass, field
from random import Random
from typing import Any

import uvloop
from cyclopts import Parameter
from rich.console import Console

from simulator.core.addresses import Broker
from simulator.core.errors import ConnectionLost, Unreachable, UsageError
from simulator.plan.fleet import Fleet, Lane, Transport
from simulator.plan.metrics import DEMO
from simulator.plan.options import Access
from simulator.send.drivers.http import HttpClient
from simulator.send.drivers.mqtt import MqttPublisher
from simulator.send.drivers.upkeep import kept
from simulator.send.encode import Encoder, Post
from simulator.send.pacing import Pace
from simulator.targets.gateway import Native

_MAX_DEVICES = 10_000
_FOR_EVER = 2**62
_SENDERS = 4
_RETRY_S = 2.0
_TIMEOUT_S = 5.0
_ERRORS = 400


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """All that `simulator demo` takes."""

    devices: int = 50
    """Devices that report: the first half over HTTP, the others over MQTT."""
    every: float = 2.0
    """Seconds between two messages of a device."""
    target: Access = field(default_factory=Access)

    def __post_init__(self) -> None:
        """Raise UsageError, in a sentence, for what makes no sense."""
        if not 2 <= self.devices <= _MAX_DEVICES:  # noqa: PLR2004 - one for each transport
            raise UsageError(f"--devices must be from 2 to {_MAX_DEVICES:,}.")
        if self.every < 0.001:  # noqa: PLR2004 - times are in ms
            raise UsageError("--every must be at least 0.001 seconds.")


class _Trouble:
    """Says once that something went wrong, and once that it is well again."""

    def __init__(self, console: Console, name: str) -> None:
        self._console = console
        self._name = name
        self._why = ""

    def note(self, why: str) -> None:
        """Tell how it stands: why it does not work, or nothing if it does."""
        if bool(why) != bool(self._why):
            self._console.print(f"demo: {self._name}: {why or 'well again'}", highlight=False, markup=False)
        self._why = why


class _Story:
    """The posts of one transport, each at its time. Which message it is follows from the clock on the wall."""

    def __init__(self, transport: Transport, *, first: int, devices: int, every: float) -> None:
        step_ms = int(every * 1_000)
        self._lane = Lane(
            transport=transport,
            first=first,
            devices=devices,
            metrics=len(DEMO),
            messages=1,
            run=1,
            posts=_FOR_EVER,
            rate=devices / every,
            start_ms=0,
            step_ms=step_ms,
        )
        self._encoder = Encoder(Fleet("demo", 1, DEMO), self._lane, Native(DEMO, self._lane, shapes=("values",)).write)
        self._base = time.time_ns() // 1_000_000 // step_ms * devices
        self._pace = Pace(self._lane.rate, _FOR_EVER, patience=every, clock=time.monotonic)

    async def next(self) -> Post:
        """Wait for the next post."""
        turn = self._pace.claim()
        if turn is None:
            raise AssertionError("a story without an end has ended")
        post = self._encoder.post(self._base + turn.number)
        await self._pace.arrival(turn)
        return post


def demo(options: DemoOptions = DemoOptions()) -> int:
    """Let a few devices report for ever, so that there is something to see. Ends on Ctrl-C or SIGTERM."""
    uvloop.run(_demo(options))
    return 0


async def _demo(options: DemoOptions) -> None:
    key, broker = options.target.key(), Broker.parse(options.target.mqtt)
    console = Console(stderr=True)
    half = options.devices // 2
    over_http = _Story("http", first=0, devices=half, every=options.every)
    over_mqtt = _Story("mqtt", first=half, devices=options.devices - half, every=options.every)
    async with HttpClient(options.target.url, key=key, connections=_SENDERS, timeout=_TIMEOUT_S) as client:
        trouble = _Trouble(console, "the gateway")
        tasks = [
            asyncio.create_task(_post(client, over_http, trouble), name=f"demo.http[{i}]") for i in range(_SENDERS)
        ]
        tasks.append(asyncio.create_task(_publish(broker, over_mqtt, _Trouble(console, "MQTT")), name="demo.mqtt"))
        await _until_stopped(tasks)


async def _until_stopped(tasks: list[asyncio.Task[Any]]) -> None:
    """Wait for a signal, or for a task to fail; end them all."""
    stopped = asyncio.Event()
    waiting = [*tasks, asyncio.create_task(stopped.wait(), name="demo.stopped")]
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    for task in done:
        task.result()


async def _post(client: HttpClient, story: _Story, trouble: _Trouble) -> None:
    while True:
        post = await story.next()
        try:
            response = await client.post(post.body)
        except ConnectionLost as error:
            trouble.note(f"does not answer: {error}")
        else:
            trouble.note(f"answers with {response.status}" if response.status >= _ERRORS else "")


async def _publish(broker: Broker, story: _Story, trouble: _Trouble) -> None:
    while True:
        publisher = MqttPublisher(broker, client_id="simulator-demo", on_ack=lambda _: None)
        try:
            async with kept([publisher], random=Random()):
                trouble.note("")
                await _publish_all(publisher, story)
        except Unreachable as error:
            trouble.note(str(error))
            await asyncio.sleep(_RETRY_S)


async def _publish_all(publisher: MqttPublisher, story: _Story) -> None:
    while True:
        post = await story.next()
        if publisher.has_room:
            publisher.publish(post.topic, post.body, token=post.number)
