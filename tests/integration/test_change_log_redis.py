"""The log of changes in Valkey: bounded in time and bytes, kept only while somebody watches, and honest about gaps."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise
from typing import Any, NamedTuple

import pytest
import redis.asyncio as redis

from gateway.app.dev_servers.valkey import ValkeyServer
from gateway.core import settings
from gateway.core.errors import StateUnavailable
from gateway.domain.changes import Logged, LogPosition, follows
from gateway.domain.contracts.newest import NewestMessage
from gateway.state import change_log, codec
from gateway.state.change_log import RedisChangeLog, open_change_log
from gateway.state.store import DEAD_MS, RedisState, open_state
from tests.builders.batches import NOON
from tests.builders.blocks import block, join

LOG, WATCH = "gateway:{}:#live", "gateway:{}:#watch"


class Stand(NamedTuple):
    """A state, its log, and a look behind them."""

    state: RedisState
    log: RedisChangeLog
    client: Any
    site: str

    async def entries(self, position: LogPosition) -> list[Logged]:
        found, at = list[Logged](), position
        while page := await self.log.between(at, at._replace(offset=10**15)):
            found += page
            at = page[-1].position
        return found

    async def exists(self, key: str) -> bool:
        return bool(await self.client.exists(key.format(self.site)))


@asynccontextmanager
async def standing(url: str, limits: settings.LiveSettings | None = None) -> AsyncIterator[Stand]:
    site, branch = secrets.token_hex(4), settings.RedisSettings(url=url)
    async with AsyncExitStack() as stack:
        state = await stack.enter_async_context(open_state(branch, site=site))
        log = open_change_log(branch, limits or settings.LiveSettings(), site=lambda: state.site)
        client = await stack.enter_async_context(redis.from_url(url))
        yield Stand(state, await stack.enter_async_context(log), client, site)


@pytest.fixture
async def stand(valkey: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stand]:
    monkeypatch.setattr(change_log, "BLOCK_MS", 50)
    async with standing(valkey) as made:
        yield made


async def _held(stand: Stand, device: str) -> list[NewestMessage]:
    held = await stand.client.hgetall(f"gateway:{stand.site}:{device}")
    return [codec.unpack(field, packed) for field, packed in held.items() if field != codec.MARK]


async def test_nothing_is_logged_unless_somebody_watches(stand: Stand) -> None:
    await stand.state.apply([block("d", 1, doubles=(1.5,))])
    assert not await stand.exists(LOG)
    position = await stand.log.watch()
    assert position.offset == 0
    claims = await stand.state.claim(["d"], anew=True)
    await stand.state.restore(["d"], claims, [[NewestMessage(1, NOON + 5, (9.5,), (), ())]])
    assert not await stand.exists(LOG)  # a rebuild is no change


async def test_a_batch_comes_back_as_it_was_committed(stand: Stand) -> None:
    start = await stand.log.watch()
    texts = ("ß", "")
    await stand.state.apply([join(block("a", 2, doubles=(1.5,)), block("b", 1, doubles=(-0.0,)))])
    await stand.state.apply([block("a", 9, shape=7, ints=(2**63 - 1,), texts=texts)])
    first, second = await stand.log.after(start)
    assert follows(first, start)
    assert follows(second, first.position)
    assert (first.devices, first.shapes, second.shapes) == (["a", "b"], {1}, {7})
    assert first.message(1) == NewestMessage(1, NOON + 1, (-0.0,), (), ())
    assert second.message(0) == NewestMessage(7, NOON + 9, (), (2**63 - 1,), texts)
    assert (await stand.log.watch())[:2] == second.position[:2]
    assert await stand.log.after(second.position) == []
    (again,) = await stand.log.between(first.position, second.position)
    assert again.position == second.position


async def test_late_messages_are_changes_and_repeats_of_the_newest_are_not(stand: Stand) -> None:
    start = await stand.log.watch()
    newest, late = block("d", 5, doubles=(1.5,)), block("d", 1, doubles=(0.5,))
    for blocks in ([newest], [late], [newest], [join(newest, block("e", 1, doubles=(7.0,)), newest)]):
        await stand.state.apply(blocks)
    shown = [(entry.devices, entry.message(0).time_us - NOON) for entry in await stand.entries(start)]
    assert shown == [(["d"], 5), (["d"], 1), (["e"], 1)]


async def test_what_gives_way_to_what_is_shown_is_no_change(stand: Stand) -> None:
    """Spooled messages, which the database may not take; and those that it takes later, which were shown."""
    start = await stand.log.watch()
    await stand.state.apply([block("d", 5, doubles=(1.5,))])
    await stand.state.apply([block("d", 5, doubles=(2.5,)), block("d", 6, doubles=(3.5,))], later_wins=False)
    await stand.state.apply([block("d", 6, doubles=(3.5,))])
    assert [entry.message(0).doubles for entry in await stand.entries(start)] == [(1.5,), (3.5,)]


@pytest.mark.parametrize("later_wins", [False, True])
async def test_what_was_shown_from_a_spool_is_a_change_when_it_is_stored(stand: Stand, later_wins: bool) -> None:
    """Who began to read in between began with what the database had, if the state was not complete."""
    spooled = [block("d", 6, doubles=(3.5,), texts=("ß",)), block("new", 6, doubles=(3.5,))]
    await stand.state.apply([block("d", 5, doubles=(1.5,), texts=("",))])
    await stand.state.apply(spooled, later_wins=later_wins, spooled=True)
    start = await stand.log.watch()
    for _ in range(2):
        await stand.state.apply(spooled)
    (entry,) = await stand.entries(start)
    assert entry.devices == ["d", "new"]
    assert [[message.doubles for message in await _held(stand, name)] for name in ("d", "new")] == [[(3.5,)]] * 2


async def test_other_values_at_the_same_time_are_a_change(stand: Stand) -> None:
    start = await stand.log.watch()
    for value in (1.5, 2.5, 1.5):
        await stand.state.apply([block("d", 5, doubles=(value,))])
    assert [entry.message(0).doubles for entry in await stand.entries(start)] == [(1.5,), (2.5,), (1.5,)]


async def test_what_was_filled_in_from_the_database_is_a_change_once_it_is_published(stand: Stand) -> None:
    """Between its COMMIT and its publication a message may come into the state with what a device is filled from."""
    start = await stand.log.watch()
    await stand.state.apply([block("d", 1, doubles=(1.5,))])
    (claim,) = await stand.state.claim(["d"])
    stored = NewestMessage(1, NOON + 2, (2.5,), (), ("ß",))
    assert await stand.state.restore(["d"], [claim], [[stored]]) == 1
    for _ in range(2):
        await stand.state.apply([block("d", 2, doubles=(2.5,), texts=("ß",))])
    assert [entry.message(0).doubles for entry in await stand.entries(start)] == [(1.5,), (2.5,)]
    assert await stand.state.claim(["d"]) == [b""]  # still whole


async def test_bytes_bound_the_log_and_the_newest_entry_stays(valkey: str) -> None:
    async with standing(valkey, settings.LiveSettings(replay_bytes=2**16)) as stand:
        start = await stand.log.watch()
        for number in range(40):
            await stand.state.apply([block("d", number, texts=("x" * 4096,))])
        entries = await stand.entries(start)
        assert 2**16 <= sum(entry.size for entry in entries) < 2**16 + entries[0].size
        assert not follows(entries[0], start)
        assert all(follows(b, a.position) for a, b in pairwise(entries))
        await stand.state.apply([block("d", 99, texts=tuple("y" * 4096 for _ in range(40)))])
        (last,) = await stand.entries(start)
        assert last.size > 2**16
        assert await stand.client.memory_usage(LOG.format(stand.site)) < 2**19


async def test_time_bounds_the_log_only_beyond_the_window(stand: Stand) -> None:
    start = await stand.log.watch()
    watch = WATCH.format(stand.site)
    for number in range(3):
        await stand.state.apply([block("d", number, doubles=(1.5,))])
    mark = int(await stand.client.hget(watch, "mark_ms"))
    await stand.client.hset(watch, "mark_ms", mark - 300_001)
    await stand.state.apply([block("d", 3, doubles=(1.5,))])  # begins a new mark; what came since the old one stays
    assert len(await stand.entries(start)) == 4
    assert int(await stand.client.hget(watch, "mark_ms")) >= mark
    await stand.client.hset(watch, "mark_ms", mark - 300_001)
    await stand.state.apply([block("d", 4, doubles=(1.5,))])
    assert [entry.message(0).time_us - NOON for entry in await stand.entries(start)] == [4]


async def test_the_log_and_the_watch_go_by_themselves(stand: Stand) -> None:
    await stand.log.watch()
    await stand.state.apply([block("d", 1, doubles=(1.5,))])
    for key in (LOG, WATCH):
        assert 300_000 < await stand.client.pttl(key.format(stand.site)) <= 360_000


@pytest.mark.parametrize("key", [WATCH, LOG])
@pytest.mark.parametrize("put", ["delete", "set"])
async def test_what_somebody_else_does_to_the_keys_is_a_new_epoch_or_a_gap(stand: Stand, key: str, put: str) -> None:
    start = await stand.log.watch()
    await stand.state.apply([block("d", 1, doubles=(1.5,))])
    await stand.client.delete(key.format(stand.site))
    if put == "set":
        await stand.client.set(key.format(stand.site), "theirs")
    await stand.state.apply([block("d", 2, doubles=(1.5,))])
    now = await stand.log.watch()
    entries = await stand.entries(start)
    assert now.epoch != start.epoch or not follows(entries[0], start)
    await stand.state.apply([block("d", 3, doubles=(1.5,))])
    (entry,) = await stand.log.after(now)
    assert follows(entry, now)


async def test_what_may_have_been_lost_ends_the_epoch(stand: Stand) -> None:
    start = await stand.log.watch()
    await stand.state.mark_incomplete()
    assert (await stand.log.watch()).epoch != start.epoch


async def test_a_gateway_that_dies_ends_the_epoch_and_one_that_leaves_does_not(stand: Stand, valkey: str) -> None:
    async with open_state(settings.RedisSettings(url=valkey), site=stand.site) as other:
        await stand.state.check()
        await other.check()
        await other.leave()
        start = await stand.log.watch()
        await stand.state.check()
        assert (await stand.log.watch()).epoch == start.epoch
        await other.check()
        await stand.client.zincrby(f"gateway:{stand.site}:#gateways", -2 * DEAD_MS, other._name)
        await stand.state.check()
        assert (await stand.log.watch()).epoch != start.epoch


async def test_another_server_is_another_epoch_even_with_the_same_data(own_valkey: ValkeyServer) -> None:
    async with standing(own_valkey.url()) as stand:
        start = await stand.log.watch()
        watch = WATCH.format(stand.site)
        await stand.client.hset(watch, "epoch", "0" * 12 + start.epoch[12:])
        now = await stand.log.watch()
        assert now.epoch not in (start.epoch, "0" * 12 + start.epoch[12:])
        own_valkey.kill()
        with pytest.raises(StateUnavailable):
            await stand.log.after(now)


async def test_bytes_that_are_not_ours_are_a_gap(stand: Stand) -> None:
    start = await stand.log.watch()
    await stand.client.xadd(LOG.format(stand.site), {start.epoch: b"\xffnot ours"}, id="5-1")
    (entry,) = await stand.log.after(start)
    assert not follows(entry, start)
    assert list(entry.devices) == []


async def test_without_a_database_there_is_no_log(valkey: str) -> None:
    async with open_change_log(settings.RedisSettings(url=valkey), settings.LiveSettings(), site=lambda: "") as log:
        with pytest.raises(StateUnavailable):
            await log.watch()


async def test_waiting_for_entries_is_no_silence(valkey: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(change_log, "BLOCK_MS", 600)
    branch = settings.RedisSettings(url=valkey, timeout_secs=0.2)
    async with open_change_log(branch, settings.LiveSettings(), site=lambda: "wait") as log:
        position = await log.watch()
        assert await log.after(position) == []
        async with open_state(branch, site="wait") as state:
            waiting = asyncio.create_task(log.after(position))
            await asyncio.sleep(0)
            await state.apply([block("d", 1, doubles=(1.5,))])
            assert [entry.devices for entry in await waiting] == [["d"]]
