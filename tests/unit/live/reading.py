"""A reader as a test has it: what it was sent, taken one by one with a deadline. Never sleeps to see."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson

from gateway.domain.changes import LogPosition
from gateway.domain.principal import Principal, Role
from gateway.live.events import Event, Lagged, Output, Snapshot
from gateway.live.filters import Filter
from gateway.live.reader import LiveClient
from tests.builders.live_parts import Stage

SOON = 10.0
ADMIN = Principal(Role.ADMIN)


class Seen:
    """What one reader is sent."""

    def __init__(self, reader: LiveClient) -> None:
        self.reader = reader
        self._rounds = reader.rounds()
        self._outputs: list[Output] = []

    async def next(self) -> Output:
        """The next output, signs of life left out."""
        async with asyncio.timeout(SOON):
            while not self._outputs:
                self._outputs += (await anext(self._rounds)).outputs
        return self._outputs.pop(0)

    async def changes(self) -> tuple[list[tuple[str, int, dict[str, Any]]], LogPosition]:
        event = await self.next()
        assert isinstance(event, Event), event
        return [(change.device, change.time_us, dict(change.values)) for change in event.changes], event.position

    async def values(self, metric: str = "t") -> list[object]:
        return [values[metric] for _, _, values in (await self.changes())[0]]

    async def snapshot(self) -> tuple[str, dict[str, Any], LogPosition]:
        output = await self.next()
        assert isinstance(output, Snapshot), output
        return output.reason, orjson.loads(output.states), output.position

    async def lagged(self) -> int:
        output = await self.next()
        assert isinstance(output, Lagged), output
        return output.skipped

    async def ends(self) -> str | None:
        async with asyncio.timeout(SOON):
            async for _ in self._rounds:
                pass
        return self.reader.ended


@asynccontextmanager
async def reading(
    stage: Stage,
    wanted: Filter | None = None,
    *,
    last: LogPosition | None = None,
    snapshot: bool = True,
    principal: Principal = ADMIN,
    cut: Callable[[], None] = lambda: None,
) -> AsyncIterator[Seen]:
    with stage.streams.reader(principal, cut=cut) as reader:
        await reader.subscribe("", wanted or Filter(), last=last, snapshot=snapshot)
        yield Seen(reader)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(SOON):
        while not holds():  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0.005)
