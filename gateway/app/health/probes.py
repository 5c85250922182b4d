"""A probe: a question that a part may answer late or never → its newest answer, at once. One at a time is under way."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from gateway.core.tasks import end

Part = Mapping[str, object]
"""How a part is: `ok`, and facts of its own."""
LATE_SECS = 2.5
"""Longest wait for an answer; the question goes on by itself, and is not asked again before it has ended."""


class Probe:
    """Asks one part now and then. Times are seconds of the event loop."""

    def __init__(self, ask: Callable[[], Coroutine[Any, Any, Part]], *, every_secs: float) -> None:
        """`every_secs` is how often a part that is well is asked; one that is not, each time."""
        self._ask = ask
        self._every_secs = every_secs
        self._asked: asyncio.Task[Part] | None = None
        self._due = float("-inf")
        self.answer: Part | None = None
        """The newest; None before there was any."""

    async def refresh(self, *, within_secs: float | None = None) -> None:
        """Ask if it is time, and return when there is an answer, at the latest when that is late.

        With `within_secs` return after so long without one; it is not late then.
        """
        now = asyncio.get_running_loop().time()
        if self._asked is None:
            if now < self._due:
                return
            self._asked = asyncio.create_task(self._ask(), name="health.probe")
        asked = self._asked
        await asyncio.wait([asked], timeout=LATE_SECS if within_secs is None else within_secs)
        if self._asked is asked and (asked.done() or within_secs is None):  # nobody else who waited has taken it
            self._take(asked, now)

    async def close(self) -> None:
        """Ask no more."""
        if self._asked is not None:
            await end(self._asked)

    def _take(self, asked: "asyncio.Task[Part]", now: float) -> None:
        if not asked.done():
            asked.cancel()
            self.answer = {"ok": False, "error": f"no answer within {LATE_SECS:g} s"}
            return
        self._asked = None
        self.answer = _result(asked)
        self._due = now + self._every_secs if self.answer["ok"] else now


def _result(asked: "asyncio.Task[Part]") -> Part:
    if asked.cancelled():
        return {"ok": False, "error": f"no answer within {LATE_SECS:g} s"}
    exc = asked.exception()
    return asked.result() if exc is None else {"ok": False, "error": repr(exc)}
