"""Posts over MQTT with QoS 1 as fast as they are committed: an iterator of posts in, counts and times out.

A broker acknowledges what it has taken, not what the gateway has committed, and would queue without end. So the loop
is closed by the gateway's own count of stored readings (`/metrics`): at most `_BACKLOG` messages are published and not
committed. The measurement ends when all are.
"""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress
from random import Random

from simulator.core.errors import ConnectionLost, Unreachable
from simulator.measure.bench.gateway import Gateway
from simulator.measure.bench.tally import Tally
from simulator.send.drivers.http import HttpConnection
from simulator.send.drivers.mqtt import Broker, MqttPublisher, kept
from simulator.send.pacing import Clock

Post = tuple[bytes, bytes]

_STORED = b"gateway_readings_stored_total"
_OK = 200
_BACKLOG = 6_000
"""Messages: half a second's worth at the rate we hope for, and several times what the gateway takes at once."""
_POLL_S, _LAST_POLL_S = 0.1, 0.02
_ANSWER_S = 5.0
_STALLED_S = 15.0
_WINDOW = 200


class Progress:
    """How many readings the gateway has committed since `start`; asks on a connection of its own."""

    def __init__(self, gateway: Gateway) -> None:
        self._request = gateway.get(f"/metrics?name%5B%5D={_STORED.decode()}")
        self._gateway = gateway
        self._connection: HttpConnection | None = None
        self._first = 0
        self.readings = 0

    async def start(self) -> None:
        """Count from here. Raises Unreachable."""
        self._connection = await self._gateway.connect(HttpConnection)
        self._first = await self._ask()
        self.readings = 0

    async def look(self) -> None:
        """Update the count. Raises Unreachable."""
        self.readings = await self._ask() - self._first

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()

    async def _ask(self) -> int:
        if self._connection is None:
            raise AssertionError("asked before start")
        try:
            async with asyncio.timeout(_ANSWER_S):
                response = await self._connection.request(self._request)
        except (ConnectionLost, TimeoutError) as error:
            raise Unreachable(f"The gateway does not show its metrics: {error}.") from error
        if response.status != _OK:
            raise Unreachable(f"The gateway does not show its metrics: it answers with {response.status}.")
        return parse_stored(response.body)


def parse_stored(text: bytes) -> int:
    """Return how many readings were stored, from the Prometheus text format. Raises Unreachable if it is not told."""
    samples = [line.rsplit(b" ", 1)[1] for line in text.splitlines() if line.startswith(_STORED)]
    if not samples:
        raise Unreachable("The gateway's metrics do not say how many readings it has stored.")
    return int(sum(float(sample) for sample in samples))


class Publishing:
    """One measurement. `elapsed` in seconds, up to the last COMMIT; `committed` in messages."""

    def __init__(self, gateway: Gateway, broker: Broker, *, client: str, clients: int, clock: Clock) -> None:
        self.tally = Tally(lambda _status, _body: "", items=1)
        self.elapsed = 0.0
        self.committed = 0
        self._progress = Progress(gateway)
        self._clock = clock
        self._sent_at: dict[int, float] = {}
        self._sent = 0
        self._may_send = asyncio.Event()
        self._all_sent = asyncio.Event()
        self._publishers = [
            MqttPublisher(broker, client_id=f"{client}-{i}", on_ack=self._taken, window=_WINDOW) for i in range(clients)
        ]
        self._random = Random(client)

    async def run(self, posts: Iterator[Post], *, readings: int) -> None:
        """Publish all posts, of so many readings each, and see them committed. Raises Unreachable."""
        async with AsyncExitStack() as stack:
            await self._progress.start()
            stack.callback(self._progress.close)
            await stack.enter_async_context(kept(self._publishers, random=self._random))
            began = self._clock()
            watcher = asyncio.create_task(self._watch(readings), name="bench.progress")
            try:
                async with asyncio.TaskGroup() as group:
                    for i, publisher in enumerate(self._publishers):
                        group.create_task(self._publish_all(publisher, posts), name=f"bench.publisher[{i}]")
                self._all_sent.set()
                await asyncio.wait([watcher])  # its question has the connection that the last ones need
            finally:
                watcher.cancel()
                await asyncio.gather(watcher, return_exceptions=True)
            await self._see_the_end(readings)
            self.elapsed = self._clock() - began
        lost = sum(publisher.losses for publisher in self._publishers)
        if lost:
            self.tally.faults["connection_lost"] += lost

    async def _publish_all(self, publisher: MqttPublisher, posts: Iterator[Post]) -> None:
        while (post := next(posts, None)) is not None:
            if not publisher.has_room and not await publisher.room(_STALLED_S):
                self.tally.faults["no_puback"] += 1
                return
            self._sent += 1
            self._sent_at[self._sent] = self._clock()
            publisher.publish(*post, token=self._sent)
            if self._sent - self.committed >= _BACKLOG and not await self._go_ahead():
                self.tally.faults["stalled"] += 1
                return

    async def _go_ahead(self) -> bool:
        self._may_send.clear()
        try:
            async with asyncio.timeout(_STALLED_S):
                await self._may_send.wait()
        except TimeoutError:
            return False
        return True

    def _taken(self, token: int) -> None:
        self.tally.take(_OK, b"", self._clock() - self._sent_at.pop(token))

    async def _watch(self, readings: int) -> None:
        while not self._all_sent.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(_POLL_S):
                    await self._all_sent.wait()
            await self._look(readings)
            if self._sent - self.committed < _BACKLOG:
                self._may_send.set()

    async def _look(self, readings: int) -> None:
        await self._progress.look()
        self.committed = self._progress.readings // readings

    async def _see_the_end(self, readings: int) -> None:
        """Wait until all is committed, or nothing has been for a while."""
        before, since = self.committed, self._clock()
        while self.committed < self._sent:
            await self._look(readings)
            now = self._clock()
            if self.committed > before:
                before, since = self.committed, now
            elif now - since > _STALLED_S:
                self.tally.faults["not_committed"] += self._sent - self.committed
                return
            await asyncio.sleep(_LAST_POLL_S)
