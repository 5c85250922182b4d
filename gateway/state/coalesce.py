"""Coalescer of reads: many ask for one device each, few calls read many devices. Never reads ahead.

While one reading is under way others gather for the next. A slow one holds nobody up: the next begins beside it. What
fails together is tried alone, so one device that cannot be told never fails another.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from copy import copy
from typing import Any, Generic, TypeVar

from gateway.core.tasks import end

READINGS = 4
"""Readings at once."""
SLOW_SECS = 0.02
"""After so long the next one begins."""
MOST = 500
"""Devices of one reading."""

State = TypeVar("State")


class Coalescer(Generic[State]):
    """Reads `devices` in as few calls as the load allows."""

    def __init__(self, devices: Callable[[Sequence[str]], Awaitable[Sequence[State | None]]]) -> None:
        self._devices = devices
        self._waiting: list[tuple[str, asyncio.Future[State | None]]] = []
        """Who asked since the last reading began."""
        self._readings: set[asyncio.Task[None]] = set()
        self._newest: object = None
        """The reading that was begun last, as long as it is neither done nor slow."""

    def soon(self, name: str) -> "asyncio.Future[State | None]":
        """Return the state of a device, as it will be read after now; None: there is no such device.

        Raises what the reading raises, for this device.
        """
        future: asyncio.Future[State | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((name, future))
        if self._newest is None:
            self._begin()
        return future

    async def close(self) -> None:
        """Give up the readings under way; who still waits is told by a cancellation."""
        asked, self._waiting = self._waiting, []
        _give_up(asked)
        await end(*self._readings)

    def _begin(self) -> None:
        """Begin a reading, if somebody waits and there is room for one."""
        if self._waiting and len(self._readings) < READINGS:
            self._newest = mark = object()
            task = asyncio.create_task(self._read(), name="state.read")
            slow = asyncio.get_running_loop().call_later(SLOW_SECS, self._overtake, mark)
            self._readings.add(task)
            task.add_done_callback(lambda done: self._end(done, mark, slow))

    def _overtake(self, mark: object) -> None:
        if self._newest is mark:
            self._newest = None
        if self._newest is None:
            self._begin()

    def _end(self, task: asyncio.Task[None], mark: object, slow: asyncio.TimerHandle) -> None:
        slow.cancel()
        self._readings.discard(task)
        self._overtake(mark)

    async def _read(self) -> None:
        """Read for all who wait by now."""
        asked, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
        try:
            states = await self._each(list(dict.fromkeys([name for name, future in asked if not future.done()])))
            for name, future in asked:
                if not future.done():
                    _settle(future, states[name])
        finally:
            _give_up(asked)  # nobody, unless this was cancelled

    async def _each(self, names: list[str]) -> dict[str, State | Exception | None]:
        """Return each device's state, or what went wrong; what fails together is tried alone."""
        try:
            return dict(zip(names, await self._devices(names), strict=True))
        except Exception as exc:  # noqa: BLE001 - whoever asked is told
            if len(names) == 1:
                return {names[0]: exc}
        alone = await asyncio.gather(*[self._each([name]) for name in names])
        return {name: state for states in alone for name, state in states.items()}


def _give_up(asked: Sequence[tuple[str, "asyncio.Future[Any]"]]) -> None:
    for _, future in asked:
        future.cancel()


def _settle(future: "asyncio.Future[State | None]", state: State | Exception | None) -> None:
    if isinstance(state, Exception):
        future.set_exception(copy(state))  # each caller gets its own
    else:
        future.set_result(state)
