"""The MQTT loop: posts with QoS 1 as fast as they are committed; an iterator of posts in, counts and times out.

A broker acknowledges what it has taken, not what the gateway has committed, and would queue without end. So the loop
is closed by the gateway's own count of stored readings (`/metrics`): at most `_BACKLOG` messages are published and not
committed. The measurement ends when all are.
"""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from random import Random

from simulator.core.addresses import Broker
from simulator.core.errors import Unreachable
from simulator.measure.bench.results import Tally, Window
from simulator.send.drivers.http import HttpClient, Request, ask_once
from simulator.send.drivers.mqtt import MqttPublisher
from simulator.send.drivers.upkeep import kept

_STORED = b"gateway_readings_stored_total"
_METRICS = Request("GET", f"/metrics?name%5B%5D={_STORED.decode()}")
_OK = 200
_BACKLOG = 6_000
"""Messages: half a second's worth at the rate we hope for, and several times what the gateway takes at once."""
_POLL_S, _LAST_POLL_S = 0.1, 0.02
_STALLED_S = 15.0
_WINDOW = 200


class Publishing:
    """One measurement. In the end its tally has what is `committed`, in messages of `readings` each, as answers."""

    def __init__(self, client: HttpClient, broker: Broker, *, name: str, clients: int, readings: int) -> None:
        self.tally = Tally(lambda _status, _body: "", items=readings)
        self.committed = 0
        self._client = client
        self._readings = readings
        self._first = 0
        self._sent_at: dict[int, float] = {}
        self._sent = 0
        self._may_send = asyncio.Event()
        self._publishers = [
            MqttPublisher(broker, client_id=f"{name}-{i}", on_ack=self._taken, window=_WINDOW) for i in range(clients)
        ]
        self._random = Random(name)

    async def run(self, posts: Iterator[tuple[bytes, bytes]], window: Window) -> None:
        """Publish (topic, payload) while the window is open, and see all committed. Raises Unreachable."""
        self._window, self._first = window, await self._stored()
        async with kept(self._publishers, random=self._random):
            began = window.open()
            watcher = asyncio.create_task(self._watch(), name="bench.progress")
            try:
                async with asyncio.TaskGroup() as group:
                    for i, publisher in enumerate(self._publishers):
                        group.create_task(self._publish_all(publisher, posts), name=f"bench.publisher[{i}]")
            finally:
                watcher.cancel()
                await asyncio.gather(watcher, return_exceptions=True)
            await self._see_the_end()
            self.tally.elapsed = window.clock() - began
            self.tally.answers = self.committed
        lost = sum(publisher.losses for publisher in self._publishers)
        if lost:
            self.tally.faults["connection_lost"] += lost

    async def _publish_all(self, publisher: MqttPublisher, posts: Iterator[tuple[bytes, bytes]]) -> None:
        while self._window.is_open and (post := next(posts, None)) is not None:
            if not publisher.has_room and not await publisher.room(_STALLED_S):
                self.tally.faults["no_puback"] += 1
                return
            self._sent += 1
            self._sent_at[self._sent] = self._window.clock()
            publisher.publish(*post, token=self._sent)
            if self._sent - self.committed >= _BACKLOG and not await self._go_ahead():
                self.tally.faults["stalled"] += 1
                return

    async def _go_ahead(self) -> bool:
        self._may_send.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(_STALLED_S):
                return await self._may_send.wait()
        return False

    def _taken(self, token: int) -> None:
        self.tally.take(_OK, b"", self._window.clock() - self._sent_at.pop(token))

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_POLL_S)
            await self._look()
            if self._sent - self.committed < _BACKLOG:
                self._may_send.set()

    async def _look(self) -> None:
        self.committed = (await self._stored() - self._first) // self._readings

    async def _see_the_end(self) -> None:
        """Wait until all is committed, or nothing has been for a while."""
        before, since = self.committed, self._window.clock()
        while self.committed < self._sent:
            await self._look()
            now = self._window.clock()
            if self.committed > before:
                before, since = self.committed, now
            elif now - since > _STALLED_S:
                self.tally.faults["not_committed"] += self._sent - self.committed
                return
            await asyncio.sleep(_LAST_POLL_S)

    async def _stored(self) -> int:
        """Ask how many readings the gateway has stored. Raises Unreachable."""
        response = await ask_once(self._client, _METRICS, complaint="The gateway does not show its metrics")
        if response.status != _OK:
            raise Unreachable(f"The gateway does not show its metrics: it answers with {response.status}.")
        return parse_stored(response.body)


def parse_stored(text: bytes) -> int:
    """Return how many readings were stored, from the Prometheus text format. Raises Unreachable if it is not told."""
    samples = [line.rsplit(b" ", 1)[1] for line in text.splitlines() if line.startswith(_STORED)]
    if not samples:
        raise Unreachable("The gateway's metrics do not say how many readings it has stored.")
    return int(sum(float(sample) for sample in samples))
