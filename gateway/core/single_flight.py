"""Single flight: many callers of the same thing share one call of it. A caller that is cancelled disturbs no other.

Known by this name from Go's golang.org/x/sync/singleflight.
"""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from copy import copy
from typing import Any, Generic, TypeVar

from gateway.core.errors import GatewayError, SinkUnavailable
from gateway.core.tasks import end

Key = TypeVar("Key", bound=Hashable)
Result = TypeVar("Result")


class SingleFlight(Generic[Key, Result]):
    """The calls that are under way, each in a task of this name."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._open: dict[Key, asyncio.Task[Result]] = {}
        """Those that may be joined."""
        self._tasks: set[asyncio.Task[Result]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def __contains__(self, key: Key) -> bool:
        """Whether a call may be joined."""
        return key in self._open

    async def do(self, key: Key, call: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        """Return what the call under way returns, or what `call` does if there is none.

        Raises what it raises, a GatewayError as each caller's own copy, since a traceback grows with every raise;
        SinkUnavailable if it was given up.
        """
        task = self._open.get(key) or self._begin(key, call)
        await asyncio.wait([task])
        if task.cancelled():
            raise SinkUnavailable("the look-up was given up; try again")
        exc = task.exception()
        if isinstance(exc, GatewayError):
            raise copy(exc) from exc.__cause__
        return task.result()

    def leave(self, key: Key) -> None:
        """Let nobody join the call any more: who asks from now on needs a later one."""
        self._open.pop(key, None)

    async def close(self) -> None:
        """Give up what is under way."""
        await end(*self._tasks)

    def _begin(self, key: Key, call: Callable[[], Coroutine[Any, Any, Result]]) -> "asyncio.Task[Result]":
        task = self._open[key] = asyncio.create_task(call(), name=self._name)
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._end(key, done))
        return task

    def _end(self, key: Key, task: "asyncio.Task[Result]") -> None:
        self._tasks.discard(task)
        if self._open.get(key) is task:
            self.leave(key)
        if not task.cancelled():
            task.exception()  # looked at here, in case that nobody waits any more
