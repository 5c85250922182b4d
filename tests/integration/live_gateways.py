"""In: a database and a Valkey. Out: what gateways have to show the newest state, and traffic. Never a whole gateway."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from typing import NamedTuple

import pytest

from gateway.core import settings
from gateway.core.errors import StateUnavailable
from gateway.state import rebuilder, repair
from gateway.state.publisher import Publisher
from gateway.state.read import NewestReader
from gateway.state.rebuilder import StateWatcher
from gateway.state.repair import Repairer
from gateway.state.store import RedisState, open_state
from gateway.timescale.newest import TimescaleNewest
from gateway.timescale.registry.device_cache import TimescaleDirectory
from tests.builders.batches import Message
from tests.integration.writing import Gateway, open_gateway

SOON = 20.0
DEVICES = [f"d{i}" for i in range(40)]


def quicken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look more often than in production, and read smaller pages."""
    monkeypatch.setattr(rebuilder, "CHECK_SECS", 0.05)
    monkeypatch.setattr(rebuilder, "AGAIN_SECS", 0.05)
    monkeypatch.setattr(rebuilder, "PAGE", 16)
    monkeypatch.setattr(repair, "AGAIN_SECS", 0.05)


class Live(NamedTuple):
    """One gateway with its way to the state."""

    gateway: Gateway
    state: RedisState
    stored: TimescaleNewest
    watcher: StateWatcher
    publisher: Publisher
    reader: NewestReader

    async def report(self, *messages: Message) -> None:
        written = await self.gateway.write(list(messages))
        await self.publisher.publish(written.newest)

    async def whole(self) -> None:
        """Wait until reads come from Redis."""
        await until(self._whole)

    async def _whole(self) -> bool:
        try:
            await self.state.read(["d0"])
        except StateUnavailable:
            return False
        return not self.publisher.behind


@asynccontextmanager
async def living(database: str, url: str, *, max_rows: int = 10_000) -> AsyncIterator[Live]:
    limits = settings.RedisSettings(url=url, ack_wait_ms=20, timeout_secs=0.2, max_pending_rows=max_rows)
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(open_gateway(database))
        state = await stack.enter_async_context(open_state(limits, site="test"))
        stored = TimescaleNewest(gateway.pool)
        watcher = await stack.enter_async_context(StateWatcher(state, stored))
        mender = await stack.enter_async_context(Repairer(state, stored, worth=lambda: watcher.complete))
        publisher = await stack.enter_async_context(
            Publisher(state, limits, on_skip=watcher.note_gap, on_part=mender.soon)
        )
        directory = TimescaleDirectory(gateway.pool, gateway.dictionary, monotonic=lambda: 0.0)
        reader = NewestReader(state, gateway.dictionary, directory, stored=stored)
        stack.push_async_callback(reader.close)
        yield Live(gateway, state, stored, watcher, publisher, reader)


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(SOON):
        while not await holds():  # noqa: ASYNC110 - it is other processes that change
            await asyncio.sleep(0.01)


def random_messages(rng: random.Random, times: range) -> list[Message]:
    return [(rng.choice(DEVICES), t, {f"m{t % 3}": t + 0.5}) for t in times]


async def same(one: Live) -> bool:
    """Whether Redis holds exactly what the database says."""
    try:
        shown = await one.state.read(DEVICES)
    except StateUnavailable:
        return False
    stored = await one.stored.read(DEVICES)
    return all(
        held is not None and sorted(held) == sorted(entries)
        for held, entries in zip(shown, stored, strict=True)
        if held is not None or entries
    )


@asynccontextmanager
async def traffic(*gateways: Live) -> AsyncIterator[None]:
    """Each gateway reports, in shuffled order, until the block ends."""
    times, stop = count(), asyncio.Event()

    async def send(one: Live, seed: int) -> None:
        rng = random.Random(seed)
        while not stop.is_set():
            start = next(times) * 50
            messages = random_messages(rng, range(start, start + 50))
            rng.shuffle(messages)
            await one.report(*messages)
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        for seed, one in enumerate(gateways):
            group.create_task(send(one, seed))
        try:
            yield
        finally:
            stop.set()
