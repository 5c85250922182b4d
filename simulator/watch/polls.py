"""Polls of the newest state of some devices, at fixed times whatever became of those before: an open loop."""

import asyncio
from collections.abc import Callable

from simulator.core.errors import Refused, Unreachable
from simulator.send.drivers.http import HttpClient
from simulator.send.pacing import Clock, Sleep
from simulator.verify.states import States, fetch_states

EVERY_S = 0.05
"""Seconds between two questions: what is seen in the state may have been there for so long."""
AT_ONCE = 4
"""Questions without an answer yet; at a gateway slower than that some are left out, and counted."""


class Polls:
    """The questions of one run. `run` asks until cancelled."""

    def __init__(
        self,
        client: HttpClient,
        names: list[str],
        *,
        take: Callable[[States], None],
        clock: Clock,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.answered = self.failed = self.left_out = 0
        self.trouble = ""
        """What was wrong with the last question that failed."""
        self._client = client
        self._names = names
        self._take = take
        self._clock = clock
        self._sleep = sleep
        self._open = 0

    async def run(self) -> None:
        """Ask every `EVERY_S`."""
        began, turn = self._clock(), 0
        async with asyncio.TaskGroup() as group:
            while True:
                if self._open < AT_ONCE:
                    self._open += 1
                    group.create_task(self._ask(), name="watch.poll")
                else:
                    self.left_out += 1
                following = max(turn + 1, int((self._clock() - began) / EVERY_S))
                self.left_out += following - turn - 1
                turn = following
                await self._sleep(max(0.0, began + turn * EVERY_S - self._clock()))

    async def _ask(self) -> None:
        try:
            self._take(await fetch_states(self._client, self._names))
            self.answered += 1
        except (Unreachable, Refused) as error:
            self.failed += 1
            self.trouble = str(error)
        finally:
            self._open -= 1
