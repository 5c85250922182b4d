"""One suite for every log of changes: the one in Valkey, and the in-memory one."""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import NamedTuple

import pytest

from gateway.app.dev_servers.valkey import ValkeyServer
from gateway.core import settings
from gateway.domain.changes import ChangeLog, LogPosition, follows, start_of
from gateway.domain.contracts.newest import NewestMessage
from gateway.state import change_log
from gateway.state.change_log import open_change_log
from gateway.state.store import open_state
from tests.builders.batches import NOON
from tests.builders.blocks import block
from tests.fakes import live
from tests.fakes.live import MemoryChangeLog


class Kept(NamedTuple):
    """A log, and ways to have things happen to it."""

    log: ChangeLog
    commit: Callable[[str, int], Awaitable[None]]
    mark_incomplete: Callable[[], Awaitable[None]]


@pytest.fixture(params=["memory", "valkey"])
async def kept(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Kept]:
    monkeypatch.setattr(live, "WAIT_SECS", 0.05)
    monkeypatch.setattr(change_log, "BLOCK_MS", 50)
    if request.param == "memory":
        yield _in_memory()
        return
    server: ValkeyServer = request.getfixturevalue("valkey_server")
    branch, site = settings.RedisSettings(url=server.url()), secrets.token_hex(4)
    async with AsyncExitStack() as stack:
        state = await stack.enter_async_context(open_state(branch, site=site))
        log = await stack.enter_async_context(open_change_log(branch, settings.LiveSettings(), site=lambda: site))

        async def commit(device: str, after: int) -> None:
            await state.apply([block(device, after, doubles=(1.5,))])

        yield Kept(log, commit, state.mark_incomplete)


def _in_memory() -> Kept:
    log = MemoryChangeLog()

    async def commit(device: str, after: int) -> None:
        log.add((device, NewestMessage(1, NOON + after, (1.5,), (), ())))

    async def mark_incomplete() -> None:
        log.turn()

    return Kept(log, commit, mark_incomplete)


async def _all(log: ChangeLog, at: LogPosition, upto: LogPosition) -> list[tuple[str, NewestMessage]]:
    found = []
    while page := await log.between(at, upto):
        for entry in page:
            assert follows(entry, at)
            assert start_of(entry).offset == at.offset
            found.append((entry.devices[0], entry.message(0)))
            at = entry.position
    return found


async def test_what_is_committed_comes_in_order_and_once(kept: Kept) -> None:
    start = await kept.log.watch()
    assert await kept.log.after(start) == []
    for after in range(25):
        await kept.commit(f"d{after % 3}", after)
    end = await kept.log.watch()
    found = await _all(kept.log, start, end)
    assert found == [(f"d{after % 3}", NewestMessage(1, NOON + after, (1.5,), (), ())) for after in range(25)]
    assert await kept.log.between(end, end) == []
    assert end.continues(start)
    assert end.epoch == start.epoch


async def test_a_page_ends_where_it_is_told_to(kept: Kept) -> None:
    start = await kept.log.watch()
    for after in range(3):
        await kept.commit("d", after)
    first = (await kept.log.after(start))[0]
    (only,) = await kept.log.between(start, first.position)
    assert (only.position, only.shapes) == (first.position, {1})


async def test_a_doubt_is_another_turn_of_the_same_log(kept: Kept) -> None:
    start = await kept.log.watch()
    await kept.commit("d", 1)
    await kept.mark_incomplete()
    await kept.commit("d", 2)
    before, after = await kept.log.between(start, start._replace(offset=10**12))
    assert before.position.epoch == start.epoch != after.position.epoch
    assert follows(after, before.position)
    assert (await kept.log.watch())[:2] == after.position[:2]
