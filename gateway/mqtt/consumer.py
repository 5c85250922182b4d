"""The consumer: messages in, each acknowledged in arrival order, on its own connection, and only when it is safe.

                          ┌ stored ───────────────────────┐
    message → handler ────┼ refused → dead letter put ────┼→ done → acknowledged once all before it are done
                  ↑       └ not now ──┐                   │
                  └─── wait, jitter ──┘

A message that is plain and let through is taken in at once, and done in a callback when its readings are committed;
whatever takes longer than that, before or after, is a task, which asks the same handler.

What waits for the database stays unacknowledged, so the broker's window (Receive Maximum) is the back-pressure, and a
broker that goes beyond it is held back by not reading. When a connection is gone its messages are dropped here, as the
broker sends them again. QoS 0 has neither: what does not fit is dropped and counted.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable
from itertools import chain, repeat
from random import Random
from typing import Any

from gateway.core.settings import MqttSettings
from gateway.core.tasks import end
from gateway.domain.contracts.ingest import DeadLetters, Intake, PendingBody
from gateway.domain.dead_letters import DeadLetter
from gateway.domain.model import Receipt
from gateway.domain.rate_limit import Meters
from gateway.mqtt.handler import MessageHandler, ProblemAnswer
from gateway.mqtt.message import MqttMessage
from gateway.mqtt.retry import retry_forever
from gateway.mqtt.session import BrokerSession
from gateway.mqtt.throttle import MessageCharge, Throttle
from gateway.mqtt.topics import parse_topic
from gateway.telemetry import events, mqtt_events

MAX_HELD_BYTES = 64 * 2**20
"""Payload bytes in hand, for each QoS; the message that passes it is still taken, whatever its size."""
UNWIND_SECS = 0.5
"""A session that has been closed ends at once, unless it is just connecting: then it is cut off."""


class _PendingMessage:
    """A message in hand."""

    __slots__ = ("disowned", "done", "given_up", "message", "work")

    def __init__(self, message: MqttMessage) -> None:
        self.message = message
        self.done = False
        self.disowned = False
        """Its connection is gone."""
        self.given_up = False
        self.work: asyncio.Future[Any]
        """What it waits for: the ticket of its readings, or a task of its own."""

    def give_up(self) -> None:
        """Have it end as it is."""
        self.given_up = True
        self.work.cancel()


class Consumer:
    """Owns the session and what becomes of each message. At most `max_messages` of each QoS are in hand."""

    def __init__(
        self,
        session: BrokerSession,
        handler: MessageHandler,
        dead_letters: DeadLetters,
        *,
        max_messages: int,
        rng: Random,
        meters: Meters | None = None,
    ) -> None:
        self._session = session
        self._handler = handler
        self._dead_letters = dead_letters
        self._max_messages = max_messages
        self._rng = rng
        self._throttle = (
            None if meters is None else Throttle(meters, crowded=self._is_crowded, monotonic=time.monotonic)
        )
        self._hand: deque[_PendingMessage] = deque()
        """QoS 1, in arrival order."""
        self._loose: set[_PendingMessage] = set()
        """QoS 0."""
        self._held_bytes = [0, 0]
        self._working: set[_PendingMessage] = set()
        """Those of which it is not settled what becomes of them, of any connection."""
        self._arrivals = 0
        self._dropped = 0
        self._reporting = False
        self._paused = False
        self._stopping = False
        self._runner: asyncio.Task[None] | None = None

    @property
    def connected(self) -> bool:
        """Whether the subscription stands."""
        return self._session.connected

    @property
    def last_error(self) -> str | None:
        """Why it does not, for people."""
        return self._session.last_error

    def start(self) -> None:
        """Begin to connect; returns at once, whether or not there is a broker."""
        self._runner = asyncio.create_task(self._session.run(self._arrived, on_lost=self._disown), name="mqtt.session")

    async def stop(self, *, within_secs: float) -> None:
        """Take nothing more, wait for what is in hand, acknowledge it, disconnect. The broker keeps the session.

        What is not done `within_secs` is left unacknowledged; the broker sends it again. Safe to call twice.
        """
        self._stopping = True
        if self._throttle is not None:
            self._throttle.release()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_secs):
                while self._working:
                    await asyncio.wait([item.work for item in self._working])
        if self._working:
            mqtt_events.left_behind(len(self._working))
            self._count_dropped(len(self._loose))
            for item in self._working:
                item.give_up()
            await end(*[item.work for item in self._working])
        await self._session.close()
        if self._runner is not None:
            await asyncio.wait([self._runner], timeout=UNWIND_SECS)
            await end(self._runner)

    def _arrived(self, message: MqttMessage) -> None:
        self._arrivals += 1
        self._report_soon()
        if self._stopping or (message.qos == 0 and self._is_full(0)):
            self._dropped += message.qos == 0  # QoS 1 comes again
            return
        item = _PendingMessage(message)
        if message.qos:
            self._hand.append(item)
        else:
            self._loose.add(item)
        self._held_bytes[message.qos] += len(message.payload)
        self._begin(item)
        if self._throttle is not None:
            self._throttle.relieve()
        if message.qos and self._is_full(1) and not self._paused:
            self._paused = True
            mqtt_events.paused(len(self._hand), self._held_bytes[1])
            self._session.pause()

    def _is_full(self, qos: int) -> bool:
        held = len(self._hand) if qos else len(self._loose)
        return held >= self._max_messages or self._held_bytes[qos] >= MAX_HELD_BYTES

    def _is_crowded(self) -> bool:
        """Whether more than half the window (a quarter of what may be in hand) is in hand, of either QoS."""
        held = max(len(self._hand), len(self._loose))
        return 4 * held > self._max_messages or 2 * max(self._held_bytes) > MAX_HELD_BYTES

    def _begin(self, item: _PendingMessage) -> None:
        self._working.add(item)
        pending = self._handler.at_once(item.message) if self._throttle is None else None
        if pending is None:
            self._take_time(item, None)
        else:
            item.work = pending.ticket
            item.work.add_done_callback(lambda _: self._committed(item, pending))

    def _committed(self, item: _PendingMessage, pending: PendingBody) -> None:
        is_clean = pending.is_clean  # asked first: asyncio complains of an exception that nobody has looked at
        if not item.given_up and not is_clean:
            self._take_time(item, pending)
            return
        self._working.discard(item)
        if item.given_up:
            pending.abandon()
        else:
            self._finish(item, pending.receipt())

    def _take_time(self, item: _PendingMessage, pending: PendingBody | None) -> None:
        item.work = asyncio.create_task(self._process(item, pending), name="mqtt.message")
        item.work.add_done_callback(lambda _: self._working.discard(item))

    async def _process(self, item: _PendingMessage, pending: PendingBody | None) -> None:
        message = item.message
        charge = None if self._throttle is None else self._charge(self._throttle, message)
        tries = chain([pending], repeat(None))
        verdict = await retry_forever(lambda: self._handler.handle(message, charge, pending=next(tries)), rng=self._rng)
        if verdict.letter is not None:
            await self._keep(verdict.letter)
        self._finish(item, verdict.answer)

    def _finish(self, item: _PendingMessage, answer: Receipt | ProblemAnswer) -> None:
        self._acknowledge(item)
        self._handler.reply(item.message, answer)

    def _charge(self, throttle: Throttle, message: MqttMessage) -> MessageCharge | None:
        device = self._handler.device_of(message)
        return None if device is None else MessageCharge(throttle, device, size=len(message.payload))

    async def _keep(self, letter: DeadLetter) -> None:
        await retry_forever(lambda: self._dead_letters.put([letter]), rng=self._rng)
        events.dead_lettered(letter.source, letter.code, device=letter.device, topic=letter.topic)

    def _acknowledge(self, item: _PendingMessage) -> None:
        """Acknowledge everything up to the first message that is not done."""
        self._report_soon()
        if not item.message.qos:
            self._loose.discard(item)
            self._held_bytes[0] -= len(item.message.payload)
            return
        item.done = True
        hand = self._hand
        while hand and hand[0].done:
            message = hand.popleft().message
            self._held_bytes[1] -= len(message.payload)
            message.ack()
        if self._paused and 2 * len(hand) <= self._max_messages and 2 * self._held_bytes[1] <= MAX_HELD_BYTES:
            self._paused = False
            self._session.resume()

    def _disown(self) -> None:
        """Let what came on a connection that is gone be stored all the same, but acknowledge it no more.

        A broker that was killed may have forgotten it, though it told the publisher that the message is safe. If it has
        not, the message comes again and is absorbed. What still waits when the next connection goes is given up, so
        that there are never more than two windows in memory.
        """
        for item in self._working:
            if item.disowned:
                item.give_up()
        for item in self._hand:
            item.disowned = True
        self._hand.clear()
        self._held_bytes[1] = 0
        self._paused = False
        self._report_soon()

    def _report_soon(self) -> None:
        if not self._reporting:
            self._reporting = True
            asyncio.get_running_loop().call_soon(self._report)

    def _report(self) -> None:
        """Count what happened in this turn of the loop, together."""
        self._reporting = False
        mqtt_events.taken(self._arrivals, in_hand=len(self._hand) + len(self._loose))
        self._arrivals = 0
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            self._count_dropped(dropped)

    def _count_dropped(self, messages: int) -> None:
        if messages:
            mqtt_events.qos0_dropped(messages, why="stopping" if self._stopping else "too many in hand")


def build(
    settings: MqttSettings,
    intake: Intake,
    dead_letters: DeadLetters,
    *,
    encode: Callable[[Receipt], bytes],
    client_id: str,
    rng: Random,
    meters: Meters | None = None,
) -> Consumer:
    """Return a consumer that is ready to start. Raises SettingsError.

    `client_id` names the broker's session: it must stay the same over restarts and differ between consumers. `meters`
    are the limits of a device.
    """
    topics = parse_topic(settings.topic, share=settings.share, receipts=settings.receipts)
    session = BrokerSession(settings, topics.subscription, client_id=client_id, rng=rng)
    handler = MessageHandler(topics, intake, encode=encode, max_payload_bytes=settings.max_payload_bytes)
    # Twice the window: mosquitto 2.0.11 (Debian 12) sends more than it may, others after a resume.
    return Consumer(session, handler, dead_letters, max_messages=2 * settings.receive_max, rng=rng, meters=meters)
