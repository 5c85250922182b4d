"""The upkeep of many clients of one broker: clients in; pings, and connections made anew, until it is left.

Two tasks and one timer each, however many clients there are. At most `_AT_ONCE` connections are being made at a time:
a broker's queue of those it has not accepted is short. Never publishes.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from heapq import heappop, heappush
from random import Random
from typing import Self, TypeVar

from simulator.core.errors import Unreachable, first_of
from simulator.send.drivers.mqtt import MqttPublisher

_VISITS = 3
"""In a keepalive: two thirds of one is the longest time without a packet of ours."""
_AT_ONCE = 64
_FIRST_DELAY, _MAX_DELAY = 0.1, 2.0
_PATIENCE = (0.2, 0.5, 1.0)
"""Seconds between the attempts to open a connection while others stand already."""
_LEAVE_S = 30.0
_MIN_TICK_S = 0.1
_T = TypeVar("_T")


class Upkeep:
    """Holds clients connected. Use as `async with`; entering connects them all."""

    def __init__(self, clients: Sequence[MqttPublisher], *, period: float, random: Random) -> None:
        """`period` in seconds: how often each client is visited; `random` decides the jitter."""
        self._clients = clients
        self._period = period
        self._random = random
        self._lost: list[tuple[float, int, float]] = []
        """When to try which client again, and how long to wait if that fails."""
        self._changed = asyncio.Event()
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._tries: set[asyncio.Task[None]] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._open = 0

    async def __aenter__(self) -> Self:
        for name, work in (("visit", self._visit_all), ("restore", self._restore_all)):
            self._tasks.append(asyncio.create_task(work(), name=f"mqtt.{name}"))
        try:
            await self._open_all()
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._end()

    async def _end(self) -> None:
        tasks = [*self._tasks, *self._tries]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with suppress(Unreachable, TimeoutError):  # a broker that is gone has nothing to forget
            async with asyncio.timeout(_LEAVE_S):
                await _share(self._clients, lambda client: client.leave())

    async def _open_all(self) -> None:
        """Open the first alone, so that a broker which is not there, or does not know us, is told at once."""
        numbers = range(len(self._clients))
        await self._connect(0)
        await _share(numbers[1:], self._connect_patiently)

    async def _connect_patiently(self, number: int) -> None:
        for pause in _PATIENCE:
            try:
                await self._connect(number)
            except Unreachable:
                await asyncio.sleep(pause * self._random.uniform(0.5, 1.5))
            else:
                return
        try:
            await self._connect(number)
        except Unreachable as error:
            raise Unreachable(
                f"{error} {self._open:,} of {len(self._clients):,} connections were open: "
                "the broker's limit of connections, or of open files, may be lower."
            ) from error

    async def _connect(self, number: int) -> None:
        await self._clients[number].connect(lambda: self._note_lost(number))
        self._open += 1

    def _note_lost(self, number: int) -> None:
        self._open -= 1
        self._try_later(number, _FIRST_DELAY)

    def _try_later(self, number: int, delay: float) -> None:
        due = asyncio.get_running_loop().time() + delay * self._random.uniform(0.5, 1.5)
        heappush(self._lost, (due, number, min(delay * 2, _MAX_DELAY)))
        self._changed.set()

    async def _restore_all(self) -> None:
        """Connect what was lost, when its time has come, until cancelled."""
        while True:
            await self._slots.acquire()
            number, delay = await self._next_lost()
            task = asyncio.create_task(self._restore(number, delay), name=f"mqtt.restore[{number}]")
            self._tries.add(task)
            task.add_done_callback(self._tries.discard)

    async def _next_lost(self) -> tuple[int, float]:
        loop = asyncio.get_running_loop()
        while not self._lost or self._lost[0][0] > loop.time():
            self._changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._lost[0][0] if self._lost else None):
                    await self._changed.wait()
        _, number, delay = heappop(self._lost)
        return number, delay

    async def _restore(self, number: int, delay: float) -> None:
        try:
            await self._connect(number)
        except Unreachable:
            self._try_later(number, delay)
        finally:
            self._slots.release()

    async def _visit_all(self) -> None:
        """Visit all clients once in a period, evenly spread over it, until cancelled."""
        count, at, visits = len(self._clients), 0, 0.0
        tick = max(_MIN_TICK_S, self._period / count)
        while True:
            await asyncio.sleep(tick)
            visits += count * tick / self._period
            for _ in range(int(visits)):
                self._clients[at].visit()
                at = (at + 1) % count
            visits -= int(visits)


async def _share(items: Iterable[_T], work: Callable[[_T], Awaitable[None]]) -> None:
    """Work on all items, some at a time. Raises the first Unreachable; what was not begun by then is left out."""
    queue = iter(items)
    try:
        async with asyncio.TaskGroup() as group:
            for i in range(_AT_ONCE):
                group.create_task(_work(queue, work), name=f"mqtt.share[{i}]")
    except* Unreachable as errors:
        raise first_of(errors) from None


async def _work(queue: Iterator[_T], work: Callable[[_T], Awaitable[None]]) -> None:
    for item in queue:
        await work(item)


def kept(publishers: Sequence[MqttPublisher], *, random: Random) -> Upkeep:
    """Return what holds publishers connected while it is entered; `random` decides the jitter of reconnects."""
    period = min(publisher.keepalive for publisher in publishers) / _VISITS
    return Upkeep(publishers, period=period, random=random)
