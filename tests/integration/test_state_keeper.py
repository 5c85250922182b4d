"""The state in Valkey becomes complete again whatever was lost, while traffic flows and several gateways watch it."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from typing import NamedTuple

import numpy as np
import pytest
import redis.asyncio

from gateway import settings
from gateway.contracts import Newest, NewestPage
from gateway.errors import SinkUnavailable, StateUnavailable
from gateway.local.valkey import ValkeyServer
from gateway.model import Block
from gateway.state import keeper as keeping
from gateway.state import store
from gateway.state.keeper import Keeper
from gateway.state.publisher import Publisher
from gateway.state.read import LiveReader
from gateway.state.store import Progress, RedisState, open_state
from gateway.timescale.directory import TimescaleDirectory
from gateway.timescale.latest import TimescaleNewest
from tests.batches import Message
from tests.ground.databases import Database
from tests.integration.test_state_redis import paused, pid_of
from tests.integration.writing import Gateway, open_gateway

SOON = 20.0
DEVICES = [f"d{i}" for i in range(40)]


class Live(NamedTuple):
    """One gateway with its way to the state."""

    gateway: Gateway
    state: RedisState
    stored: TimescaleNewest
    keeper: Keeper
    publisher: Publisher
    reader: LiveReader

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


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "CHECK_SECS", 0.05)
    monkeypatch.setattr(keeping, "AGAIN_SECS", 0.05)
    monkeypatch.setattr(keeping, "PAGE", 16)


@asynccontextmanager
async def living(database: str, url: str, *, max_rows: int = 10_000) -> AsyncIterator[Live]:
    limits = settings.Redis(url=url, ack_wait_ms=20, timeout_secs=0.2, max_pending_rows=max_rows)
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(open_gateway(database))
        state = await stack.enter_async_context(open_state(limits, site="test"))
        stored = TimescaleNewest(gateway.pool)
        keeper = await stack.enter_async_context(Keeper(state, stored))
        publisher = await stack.enter_async_context(Publisher(state, limits, on_skip=keeper.note_gap))
        directory = TimescaleDirectory(gateway.pool, gateway.dictionary, monotonic=lambda: 0.0)
        reader = LiveReader(state, gateway.dictionary, directory, stored=stored)
        yield Live(gateway, state, stored, keeper, publisher, reader)


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(SOON):
        while not await holds():  # noqa: ASYNC110 - it is other processes that change
            await asyncio.sleep(0.01)


def _messages(rng: random.Random, times: range) -> list[Message]:
    return [(rng.choice(DEVICES), t, {f"m{t % 3}": t + 0.5}) for t in times]


async def _same(one: Live) -> bool:
    """Whether Redis holds exactly what the database says."""
    try:
        shown = await one.state.read(DEVICES)
    except StateUnavailable:
        return False
    return list(map(sorted, shown)) == list(map(sorted, await one.stored.read(DEVICES)))


@asynccontextmanager
async def traffic(*gateways: Live) -> AsyncIterator[None]:
    """Each gateway reports, in shuffled order, until the block ends."""
    times, stop = count(), asyncio.Event()

    async def send(one: Live, seed: int) -> None:
        rng = random.Random(seed)
        while not stop.is_set():
            start = next(times) * 50
            messages = _messages(rng, range(start, start + 50))
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


async def test_a_new_state_is_filled_from_the_database(timescale_db: Database, valkey: str) -> None:
    async with open_gateway(timescale_db.url) as before:
        await before.write(_messages(random.Random(1), range(500)))
    async with living(timescale_db.url, valkey) as one:
        await one.whole()
        assert await _same(one)
        assert one.keeper.facts() == {"complete": True, "rebuilding": False}


async def test_while_valkey_is_stopped_the_database_gives_the_same_answers(
    timescale_db: Database, own_valkey: ValkeyServer
) -> None:
    async with living(timescale_db.url, own_valkey.url()) as one:
        await one.report(*_messages(random.Random(2), range(300)), ("d0", 1000, {"on": True, "n": 2**60, "t": "ü"}))
        await one.whole()
        shown = await one.reader.devices([*DEVICES, "nobody"])
        assert {each.source for each in shown if each} == {"redis"}
        own_valkey.stop()
        stored = await one.reader.devices([*DEVICES, "nobody"])
        assert {each.source for each in stored if each} == {"db"}
        assert [each and each._replace(source="") for each in stored] == [
            each and each._replace(source="") for each in shown
        ]
        await one.report(("d0", 2000, {"on": False}))
        found = await one.reader.device("d0")
        assert found is not None
        assert found.metrics["on"].value is False
        await until(lambda: _says(one, complete=False))
        own_valkey.start()
        await until(lambda: _same(one))


async def _says(one: Live, *, complete: bool) -> bool:
    return one.keeper.facts()["complete"] is complete


async def test_a_flush_under_traffic_of_two_gateways_heals(timescale_db: Database, valkey: str) -> None:
    async with living(timescale_db.url, valkey) as one, living(timescale_db.url, valkey) as two:
        async with redis.asyncio.from_url(valkey) as client, traffic(one, two):
            for _ in range(4):
                await one.whole()
                await client.flushall()
                with pytest.raises(StateUnavailable):  # at once: nobody sees a device without its values
                    await two.state.read(["d0"])
            await one.whole()
        await until(lambda: _same(one))
        assert await _same(two)


async def test_what_flows_during_a_rebuild_wins_over_it(timescale_db: Database, valkey: str) -> None:
    """The rebuild has read a page; before it writes, newer messages and other values for the same time come in."""
    async with living(timescale_db.url, valkey) as one:
        await one.report(("d0", 5, {"m0": 1.5}), ("d1", 5, {"m0": 1.5}))
        page = await one.stored.page((0, 0), size=10)
        await one.report(("d0", 6, {"m0": 2.5}))
        await one.state.apply([_changed(block) for block in (await one.gateway.write([("d1", 5, {"m0": 1.5})])).newest])
        await one.state.restore(page.messages)
        await one.whole()
        assert [[entry.doubles for entry in entries] for entries in await one.state.read(["d0", "d1"])] == [
            [(2.5,)],
            [(9.5,)],
        ]


def _changed(block: Block) -> Block:
    return Block(block.names, block.devices, block.shapes, block.times, np.array([[9.5]]), block.ints, block.texts)


async def test_a_hung_valkey_costs_an_acknowledgement_its_bound_once_and_reads_one_time_out(
    timescale_db: Database, own_valkey: ValkeyServer
) -> None:
    async with living(timescale_db.url, own_valkey.url()) as one:
        await one.report(*_messages(random.Random(3), range(100)))
        await one.whole()
        with paused(await pid_of(own_valkey.url())):
            async with asyncio.timeout(SOON):
                for i in range(100):
                    await one.report(("d0", 10_000 + i, {"m0": float(i)}))
                sources = [await one.reader.device("d0") for _ in range(50)]
            assert {each.source for each in sources if each} == {"db"}
            assert sources[-1] is not None
            assert sources[-1].metrics["m0"].value == 99.0
        await until(lambda: _same(one))


async def test_a_restart_on_an_older_file_heals(timescale_db: Database, own_valkey: ValkeyServer) -> None:
    """The marker comes back with the file, but is another server's."""
    async with living(timescale_db.url, own_valkey.url()) as one:
        await one.report(*_messages(random.Random(4), range(200)))
        await one.whole()
        async with redis.asyncio.from_url(own_valkey.url()) as client:
            await client.save()
        await one.report(*_messages(random.Random(5), range(200, 400)))
        own_valkey.kill()
        own_valkey.start()
        await until(lambda: _same(one))


async def test_what_was_skipped_is_rebuilt(timescale_db: Database, own_valkey: ValkeyServer) -> None:
    async with living(timescale_db.url, own_valkey.url(), max_rows=10) as one:
        await one.whole()
        with paused(await pid_of(own_valkey.url())):
            for start in range(0, 1000, 50):
                await one.report(*_messages(random.Random(start), range(start, start + 50)))
            assert one.publisher.behind <= 50
        await until(lambda: _same(one))


async def test_what_a_gateway_committed_before_it_died_is_found(
    timescale_db: Database, valkey: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It dies between its COMMIT and its update of the state: nobody else has seen the message."""
    monkeypatch.setattr(store, "DEAD_MS", 300)
    async with living(timescale_db.url, valkey) as one:
        await one.report(("d0", 1, {"m0": 0.5}))
        async with (
            open_gateway(timescale_db.url) as doomed,
            open_state(settings.Redis(url=valkey), site="test") as other,
        ):
            await one.whole()
            await other.check()
            await doomed.write([("d0", 2, {"m0": 1.5})])
        await until(lambda: _same(one))
        assert [entry.doubles for entry in (await one.state.read(["d0"]))[0]] == [(1.5,)]


async def test_a_gateway_that_stops_in_order_is_not_missed(
    timescale_db: Database, valkey: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with living(timescale_db.url, valkey) as one:
        async with living(timescale_db.url, valkey) as two:
            await two.report(("d0", 1, {"m0": 0.5}))
            await two.whole()
        async with redis.asyncio.from_url(valkey) as client:
            assert await client.zcard("gateway:test:#gateways") == 1
        await one.whole()


async def test_of_two_gateways_one_rebuilds_and_a_loss_meanwhile_makes_it_worthless(valkey: str) -> None:
    limits, start = settings.Redis(url=valkey), Progress(0, 10)
    async with open_state(limits, site="test") as one, open_state(limits, site="test") as two:
        server = (await one.check()).server
        assert await one.step("begin", progress=start, server=server)
        assert not await two.step("begin", progress=start, server=server)
        assert not await two.step("finish", progress=start, server=server)
        assert await one.step("go on", progress=Progress(4, 10), server=server)
        assert (await two.check()).rebuild == Progress(4, 10)
        await two.doubt()
        assert not await one.step("go on", progress=Progress(5, 10), server=server)
        assert not await one.step("finish", progress=Progress(10, 10), server=server)
        assert await two.step("begin", progress=start, server=server)
        assert not await two.step("finish", progress=start, server=b"another")
        assert not (await one.check()).complete
        assert await two.step("begin", progress=start, server=server)
        assert await two.step("finish", progress=start, server=server)
        assert [(await each.check()).complete for each in (one, two)] == [True, True]


async def test_every_gateway_shows_how_far_the_rebuild_is(timescale_db: Database, valkey: str) -> None:
    async with open_state(settings.Redis(url=valkey), site="test") as other:
        server = (await other.check()).server
        assert await other.step("begin", progress=Progress(3, 9), server=server)
        async with living(timescale_db.url, valkey) as one:
            shown = {"complete": False, "rebuilding": True, "done": 3, "total": 9}

            async def is_shown() -> bool:
                return one.keeper.facts() == shown

            await until(is_shown)
            with pytest.raises(StateUnavailable):
                await one.state.read(["d0"])
            assert await other.step("finish", progress=Progress(9, 9), server=server)
            await one.whole()


class Failing:
    """`contracts.NewestStored` that cannot be reached for the first pages."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.sizes: list[int] = []

    async def read(self, devices: Sequence[str]) -> list[list[Newest]]:
        return [[] for _ in devices]

    async def count(self) -> int:
        return 1

    async def page(self, after: tuple[int, int], *, size: int) -> NewestPage:
        self.sizes.append(size)
        if len(self.sizes) <= self.failures:
            raise SinkUnavailable
        return NewestPage([], 0, after)


async def test_a_rebuild_that_fails_is_tried_again_with_less_at_once(valkey: str) -> None:
    stored = Failing(3)
    async with open_state(settings.Redis(url=valkey), site="test") as state, Keeper(state, stored) as keeper:

        async def complete() -> bool:
            return keeper.facts()["complete"] is True

        await until(complete)
    assert stored.sizes == [16, 8, 4, 2]


@pytest.mark.parametrize("seed", range(3))
async def test_after_any_shuffle_over_two_gateways_with_losses_the_newest_is_shown(
    timescale_db: Database, valkey: str, seed: int
) -> None:
    """20,000 messages in a random order; during the first half the state loses everything a few times."""
    rng = random.Random(seed)
    messages = _messages(rng, range(20_000))
    rng.shuffle(messages)
    parts = [messages[i : i + 400] for i in range(0, len(messages), 400)]
    flushes = set(rng.sample(range(len(parts) // 2), 5))
    async with (
        living(timescale_db.url, valkey) as one,
        living(timescale_db.url, valkey) as two,
        redis.asyncio.from_url(valkey) as client,
    ):

        async def send(gateway: Live, numbers: range) -> None:
            for number in numbers:
                await gateway.report(*parts[number])
                if number in flushes:
                    await client.flushall()

        await asyncio.gather(send(one, range(0, len(parts), 2)), send(two, range(1, len(parts), 2)))
        await until(lambda: _same(one))
        assert await _same(two)
        newest: dict[tuple[str, str], int] = {}
        for device, t, values in messages:
            (metric,) = values
            newest[device, metric] = max(t, newest.get((device, metric), 0))
        shown = await one.reader.devices(DEVICES)
        assert {
            (each.device, metric): reading.value for each in shown if each for metric, reading in each.metrics.items()
        } == {key: t + 0.5 for key, t in newest.items()}
