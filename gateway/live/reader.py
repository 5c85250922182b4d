"""A live client: its subscriptions, what is to be sent in which order, and when it is given up. No socket.

A connection with its credential has one subscription (SSE) or several (WebSocket). Both write what `rounds` yields.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple, Protocol

from gateway.core import settings
from gateway.domain.changes import LogPosition
from gateway.domain.principal import Principal
from gateway.live.events import Output
from gateway.live.filters import Filter
from gateway.live.subscription import Subscription
from gateway.telemetry import live_events

LAST_WORDS_SECS = 1.0
"""Longest wait for a reader to take what was under way when its stream ends."""
REVOKED_SECS = 0.2
"""The same where its credential is not valid any more."""


class Host(Protocol):
    """Where readers are kept."""

    @property
    def limits(self) -> settings.LiveSettings:
        """What they may do."""
        ...

    async def subscription(
        self, reader: "LiveClient", wanted: Filter, *, last: LogPosition | None, snapshot: bool, wake: asyncio.Event
    ) -> Subscription:
        """Make a subscription of a reader. Raises TooManyStreams, BadRequest, Draining, Unavailable, SinkFault."""
        ...


class Round(NamedTuple):
    """What is to be sent at once, of one subscription; no outputs: a sign of life."""

    subscription: str
    outputs: list[Output]


class LiveClient:
    """One connection."""

    def __init__(self, streams: Host, principal: Principal, *, cut: Callable[[], None]) -> None:
        """`cut` ends the connection at once, and with it whoever waits for it to take something."""
        self.principal = principal
        self.caller = principal.caller
        """Whose share of streams it takes."""
        self.ended: str | None = None
        """Why, once it has: `draining`, `unauthorized`, `unverified`, `closed`."""
        self._streams = streams
        self._subscriptions: dict[str, Subscription] = {}
        self._wake = asyncio.Event()
        self._cut = cut
        self._now = asyncio.get_running_loop().time
        self._sending: float | None = None
        """Since when the other side is given something."""
        self._quiet = self._now()
        """Since when it was given nothing."""
        self._greet = False
        """It is time for a sign of life."""

    def __len__(self) -> int:
        return len(self._subscriptions)

    def __contains__(self, name: str) -> bool:
        return name in self._subscriptions

    @property
    def stall_secs(self) -> float:
        """How long the other side may take nothing."""
        return self._streams.limits.stall_secs

    async def subscribe(self, name: str, wanted: Filter, *, last: LogPosition | None, snapshot: bool) -> None:
        """Begin to read under a name that is free. Raises TooManyStreams, BadRequest, Unavailable, SinkFault."""
        self._subscriptions[name] = await self._streams.subscription(
            self, wanted, last=last, snapshot=snapshot, wake=self._wake
        )
        self._wake.set()

    def unsubscribe(self, name: str) -> bool:
        """Read no more under this name; False if nothing was."""
        found = self._subscriptions.pop(name, None)
        if found is not None:
            found.close()
        return found is not None

    def end(self, reason: str) -> None:
        """End it soon, whatever it is doing."""
        self.ended = self.ended or reason
        self._wake.set()
        if self._sending is not None:
            asyncio.get_running_loop().call_later(self._patience(), self.look)

    async def rounds(self) -> AsyncIterator[Round]:
        """Yield what is to be sent until the reader ends. Raises Unavailable, SinkFault: it should come back."""
        while self.ended is None:
            self._wake.clear()
            idle = True
            for name, subscription in list(self._subscriptions.items()):
                async for outputs in subscription.outputs():
                    idle = False
                    yield Round(name, outputs)
                    if self.ended is not None:
                        return
            if idle and not self._greet:
                await self._wake.wait()
                continue
            if idle:
                for each in self._greetings():
                    yield each
            self._quiet, self._greet = self._now(), False

    async def send(self, sending: Awaitable[None]) -> None:
        """Wait until the other side takes what is sent; if it does not, it is cut off."""
        self._sending = self._now()
        try:
            await sending
        finally:
            self._sending = None

    def look(self) -> None:
        """See whether it has taken nothing for too long, or has heard nothing; called every second for all readers.

        One clock for all: a timer for each thing that is sent would cost a fifth of sending it.
        """
        now, limits = self._now(), self._streams.limits
        if self._sending is not None and now - self._sending >= self._patience():
            live_events.ended("stalled")
            self._cut()
        elif now - self._quiet >= limits.ping_secs:
            self._greet = True
            self._wake.set()

    def _patience(self) -> float:
        """Return how many seconds the other side may take nothing now."""
        if self.ended is None:
            return self.stall_secs
        return REVOKED_SECS if self.ended == "unauthorized" else LAST_WORDS_SECS

    def close(self) -> None:
        """Leave everything."""
        for name in list(self._subscriptions):
            self.unsubscribe(name)

    def _greetings(self) -> list[Round]:
        """Return a sign of life, after the ids that subscriptions without changes have come to."""
        heartbeats = [(name, subscription.heartbeat()) for name, subscription in self._subscriptions.items()]
        return [*[Round(name, [event]) for name, event in heartbeats if event is not None], Round("", [])]
