"""The state in Valkey becomes complete again whatever was lost, while traffic flows and several gateways watch it."""

import asyncio
import random
from collections.abc import Sequence

import numpy as np
import pytest
import redis.asyncio

from gateway.app.dev_servers.valkey import ValkeyServer
from gateway.core import settings
from gateway.core.errors import StateUnavailable
from gateway.domain.contracts.newest import DeviceState
from gateway.domain.model import Block
from gateway.state import store
from gateway.state.store import open_state
from gateway.telemetry import state_events
from tests.builders.batches import Message
from tests.integration.live_gateways import DEVICES, SOON, Live, living, quicken, random_messages, same, traffic, until
from tests.integration.test_state_redis import pid_of
from tests.integration.writing import open_gateway
from tests.servers.databases import Database
from tests.servers.freezing import frozen


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    quicken(monkeypatch)


async def test_a_new_state_is_filled_from_the_database(timescale_db: Database, valkey: str) -> None:
    async with open_gateway(timescale_db.url) as before:
        await before.write(random_messages(random.Random(1), range(500)))
    async with living(timescale_db.url, valkey) as one:
        await one.whole()
        assert await same(one)
        rested = {"complete": True, "rebuilding": False, "maxmemory_policy": "noeviction"}
        await until(lambda: _shows(one, rested))  # a moment after it is whole


async def test_only_a_loss_is_a_warning(timescale_db: Database, valkey: str, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(state_events, "say", lambda level, event, *_, **__: said.append(f"{event}: {level}"))
    async with living(timescale_db.url, valkey) as one, redis.asyncio.from_url(valkey) as client:
        await one.whole()
        await until(lambda: _has_said("state_rebuilt: info", said))  # a moment after it is whole
        assert said == ["state_rebuild: info", "state_rebuilt: info"]
        said.clear()
        await client.flushall()
        await until(lambda: _has_said("state_rebuilt: info", said))
    assert said == ["state_rebuild: warning", "state_rebuilt: info"]


async def _shows(one: Live, facts: dict[str, object]) -> bool:
    return one.watcher.facts() == facts


async def _has_said(line: str, said: list[str]) -> bool:
    return line in said


async def test_while_valkey_is_stopped_the_database_gives_the_same_answers(
    timescale_db: Database, own_valkey: ValkeyServer
) -> None:
    async with living(timescale_db.url, own_valkey.url()) as one:
        await one.report(
            *random_messages(random.Random(2), range(300)), ("d0", 1000, {"on": True, "n": 2**60, "t": "ü"})
        )
        await until(lambda: same(one))
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
        assert found.metrics["on"][0] is False
        await until(lambda: _says(one, complete=False))
        own_valkey.start()
        await until(lambda: same(one))


async def _says(one: Live, *, complete: bool) -> bool:
    return one.watcher.facts()["complete"] is complete


async def test_a_flush_under_traffic_of_two_gateways_heals(timescale_db: Database, valkey: str) -> None:
    async with living(timescale_db.url, valkey) as one, living(timescale_db.url, valkey) as two:
        async with redis.asyncio.from_url(valkey) as client, traffic(one, two):
            for _ in range(4):
                await one.whole()
                await client.flushall()
                with pytest.raises(StateUnavailable):  # at once: nobody sees a device without its values
                    await two.state.read(["d0"])
            await one.whole()
        await until(lambda: same(one))
        assert await same(two)


async def test_what_flows_during_a_rebuild_wins_over_it(timescale_db: Database, valkey: str) -> None:
    """The rebuild has read a page; before it writes, newer messages and other values for the same time come in."""
    async with living(timescale_db.url, valkey) as one:
        await one.whole()
        await one.report(("d0", 5, {"m0": 1.5}), ("d1", 5, {"m0": 1.5}))
        names = (await one.stored.page(0, size=10)).devices
        claims, stored = await one.state.claim(names, anew=True), await one.stored.read(names)
        await one.report(("d0", 6, {"m0": 2.5}))
        await one.state.apply([_changed(block) for block in (await one.gateway.write([("d1", 5, {"m0": 1.5})])).newest])
        await one.state.restore(names, claims, stored)
        shown = await one.state.read(["d0", "d1"])
        assert [[entry.doubles for entry in entries or ()] for entries in shown] == [[(2.5,)], [(9.5,)]]


def _changed(block: Block) -> Block:
    return Block(block.names, block.devices, block.shapes, block.times, np.array([[9.5]]), block.ints, block.texts)


async def test_a_hung_valkey_costs_an_acknowledgement_its_bound_once_and_reads_one_time_out(
    timescale_db: Database, own_valkey: ValkeyServer
) -> None:
    async with living(timescale_db.url, own_valkey.url()) as one:
        await one.report(*random_messages(random.Random(3), range(100)))
        await one.whole()
        with frozen(await pid_of(own_valkey.url())):
            async with asyncio.timeout(SOON):
                for i in range(100):
                    await one.report(("d0", 10_000 + i, {"m0": float(i)}))
                sources = [await one.reader.device("d0") for _ in range(50)]
            assert {each.source for each in sources if each} == {"db"}
            assert sources[-1] is not None
            assert sources[-1].metrics["m0"][0] == 99.0
        await until(lambda: same(one))


async def test_a_restart_on_an_older_file_heals(timescale_db: Database, own_valkey: ValkeyServer) -> None:
    """The marker comes back with the file, but is another server's."""
    async with living(timescale_db.url, own_valkey.url()) as one:
        await one.report(*random_messages(random.Random(4), range(200)))
        await one.whole()
        async with redis.asyncio.from_url(own_valkey.url()) as client:
            await client.save()
        await one.report(*random_messages(random.Random(5), range(200, 400)))
        own_valkey.kill()
        own_valkey.start()
        await until(lambda: same(one))


async def test_what_was_skipped_is_rebuilt(timescale_db: Database, own_valkey: ValkeyServer) -> None:
    async with living(timescale_db.url, own_valkey.url(), max_rows=10) as one:
        await one.whole()
        with frozen(await pid_of(own_valkey.url())):
            for start in range(0, 1000, 50):
                await one.report(*random_messages(random.Random(start), range(start, start + 50)))
            assert one.publisher.behind <= 100  # one commit that Redis is asked to take, and the newest
        await until(lambda: same(one))


async def test_what_a_gateway_committed_before_it_died_is_found(
    timescale_db: Database, valkey: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It dies between its COMMIT and its update of the state: nobody else has seen the message."""
    monkeypatch.setattr(store, "DEAD_MS", 1500)
    async with living(timescale_db.url, valkey) as one:
        await one.report(("d0", 1, {"m0": 0.5}))
        async with (
            open_gateway(timescale_db.url) as doomed,
            open_state(settings.RedisSettings(url=valkey), site="test") as other,
        ):
            await one.whole()
            await other.check()
            await doomed.write([("d0", 2, {"m0": 1.5})])
        await until(lambda: same(one))
        assert [entry.doubles for entry in (await one.state.read(["d0"]))[0] or ()] == [(1.5,)]


async def test_a_gateway_that_stops_in_order_is_not_missed(
    timescale_db: Database, valkey: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with living(timescale_db.url, valkey) as one:
        async with living(timescale_db.url, valkey) as two:
            await two.report(("d0", 1, {"m0": 0.5}))
            await two.whole()
        async with redis.asyncio.from_url(valkey) as client:
            assert await client.zcount("gateway:test:#gateways", 0, 1e15) == 1
        await one.whole()


@pytest.mark.parametrize("seed", range(3))
async def test_after_any_shuffle_over_two_gateways_with_losses_the_newest_is_shown(
    timescale_db: Database, valkey: str, seed: int
) -> None:
    """20,000 messages in a random order; during the first half the state loses everything a few times."""
    rng = random.Random(seed)
    messages = random_messages(rng, range(20_000))
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
        await until(lambda: same(one))
        assert await same(two)
        newest: dict[tuple[str, str], int] = {}
        for device, t, values in messages:
            (metric,) = values
            newest[device, metric] = max(t, newest.get((device, metric), 0))
        shown = await one.reader.devices(DEVICES)
        assert {
            (each.device, metric): reading[0] for each in shown if each for metric, reading in each.metrics.items()
        } == {key: t + 0.5 for key, t in newest.items()}


async def test_a_redis_that_evicts_under_traffic_never_shows_a_part_or_goes_back(
    timescale_db: Database, own_valkey: ValkeyServer
) -> None:
    """Somebody sets maxmemory and allkeys-lru and fills it, and deletes keys by hand; then it is set right."""
    async with (
        living(timescale_db.url, own_valkey.url()) as one,
        living(timescale_db.url, own_valkey.url()) as two,
        redis.asyncio.from_url(own_valkey.url()) as client,
    ):
        await one.whole()
        everybody: list[Message] = [(name, 0, {"m0": 0.5}) for name in DEVICES]
        await one.report(*everybody)  # that a device does not exist is remembered for a while
        async with traffic(one, two):
            seen = Seen()
            await client.config_set("maxmemory-policy", "allkeys-lru")
            await client.config_set("maxmemory", (await client.info("memory"))["used_memory"] + 300_000)
            for number in range(150):
                await client.set(f"filler:{number}", b"x" * 20_000)
                await client.unlink(f"gateway:test:{random.choice(DEVICES)}")
                seen.look(await two.reader.devices(DEVICES))
            evicted = (await client.info("stats"))["evicted_keys"]
            await client.config_set("maxmemory", 0)
            await client.config_set("maxmemory-policy", "noeviction")
        assert evicted > 100
        await until(lambda: _is_quiet(one, two))
        for gateway in (one, two):
            seen.look(await gateway.reader.devices(DEVICES))
        await until(lambda: same(one))
        assert {each.source for each in await one.reader.devices(DEVICES) if each} == {"redis"}


async def _is_quiet(*gateways: Live) -> bool:
    return not any(each.publisher.behind for each in gateways)


class Seen:
    """What a dashboard has been shown; nothing may vanish from it or become older."""

    def __init__(self) -> None:
        self._times: dict[tuple[str, str], int] = {}

    def look(self, states: Sequence[DeviceState | None]) -> None:
        now = {(one.device, name): time_us for one in states if one for name, (_, time_us, _) in one.metrics.items()}
        older = {key: (was, now.get(key)) for key, was in self._times.items() if now.get(key, 0) < was}
        assert not older
        self._times = now
