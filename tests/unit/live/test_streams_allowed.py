"""How many streams there may be, in all and of one credential, and when one ends: the worker stopping."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from msgspec import structs

from gateway.core import settings
from gateway.core.errors import BadRequest, Draining, TooManyStreams
from gateway.domain.principal import Principal, Role
from gateway.live import hub, reader, snapshots, streams
from gateway.live.filters import Filter
from tests.builders.live_parts import Stage, staged
from tests.unit.live.reading import ADMIN, reading, until

FEW = settings.LiveSettings(max_streams=3, stall_secs=0.2)


@pytest.fixture
async def stage(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    monkeypatch.setattr(streams, "LOOK_SECS", 0.02)
    monkeypatch.setattr("tests.fakes.live.WAIT_SECS", 0.02)
    async with staged(FEW) as made:
        yield made


async def test_streams_are_counted_and_their_places_given_back(stage: Stage) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(3):
            await stack.enter_async_context(reading(stage))
        with pytest.raises(TooManyStreams) as caught:
            await stack.enter_async_context(reading(stage))
        assert caught.value.details == {"limit": "live.max_streams", "value": 3}
    async with reading(stage) as seen:
        assert (await seen.snapshot())[0] == "start"


async def test_each_subscription_of_a_socket_counts(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    with stage.streams.reader(ADMIN, cut=lambda: None) as reader:
        for name in "abc":
            await reader.subscribe(name, Filter(), last=None, snapshot=False)
        with pytest.raises(TooManyStreams):
            await reader.subscribe("d", Filter(), last=None, snapshot=False)
        assert reader.unsubscribe("a")
        assert not reader.unsubscribe("a")
        await reader.subscribe("d", Filter(), last=None, snapshot=False)
        monkeypatch.setattr(streams, "MAX_SUBSCRIPTIONS", 3)
        assert reader.unsubscribe("d")
        await reader.subscribe("d", Filter(), last=None, snapshot=False)
        with pytest.raises(TooManyStreams, match="a connection"):
            await reader.subscribe("e", Filter(), last=None, snapshot=False)


@pytest.mark.parametrize(
    ("own", "other", "limit"),
    [
        (Principal(Role.DEVICE, device="d1"), Principal(Role.DEVICE, device="d2"), "live.max_streams_per_device"),
        (Principal(Role.READER, key=1), Principal(Role.READER, key=2), "live.max_streams_per_credential"),
    ],
)
async def test_one_credential_has_a_share_of_them(own: Principal, other: Principal, limit: str) -> None:
    few = settings.LiveSettings(max_streams=5, max_streams_per_credential=2, max_streams_per_device=2)
    async with staged(few) as stage, AsyncExitStack() as stack:
        for key in range(1, 3):
            tokens = own if own.device is None else structs.replace(own, key=key)  # all tokens of a device are one
            await stack.enter_async_context(reading(stage, principal=tokens))
        with pytest.raises(TooManyStreams, match="has 2 streams open here") as caught:
            await stack.enter_async_context(reading(stage, principal=own))
        assert caught.value.details == {"limit": limit, "value": 2}
        await stack.enter_async_context(reading(stage, principal=other))
        reader = stack.enter_context(stage.streams.reader(other, cut=lambda: None))
        await reader.subscribe("a", Filter(), last=None, snapshot=False)
        with pytest.raises(TooManyStreams, match="has 2 streams open here"):
            await reader.subscribe("b", Filter(), last=None, snapshot=False)


async def test_stopping_ends_all_and_takes_no_more(stage: Stage) -> None:
    async with reading(stage) as seen:
        await seen.snapshot()
        stage.streams.drain()
        assert await seen.ends() == "draining"
        with pytest.raises(Draining):
            async with reading(stage):
                pass


async def test_a_reader_that_takes_nothing_is_given_up(stage: Stage) -> None:
    cut = asyncio.Event()
    async with reading(stage, cut=cut.set) as seen:
        await asyncio.wait_for(seen.reader.send(asyncio.sleep(0)), 10)
        sending = asyncio.ensure_future(seen.reader.send(cut.wait()))  # type: ignore[arg-type]
        await asyncio.wait_for(sending, 10)


async def test_an_end_does_not_wait_for_a_reader_that_takes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "LAST_WORDS_SECS", 0.05)
    cut = asyncio.Event()
    async with staged(settings.LiveSettings(stall_secs=3600)) as stage, reading(stage, cut=cut.set) as seen:
        sending = asyncio.ensure_future(seen.reader.send(cut.wait()))  # type: ignore[arg-type]
        await until(lambda: seen.reader._sending is not None)
        stage.streams.drain()
        await asyncio.wait_for(sending, 10)


async def test_too_many_devices_in_all_filters(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "MAX_INDEXED", 3)
    async with reading(stage, Filter(devices=frozenset("ab"))) as seen:
        await seen.snapshot()
        with pytest.raises(TooManyStreams):
            async with reading(stage, Filter(devices=frozenset("cd"))):
                pass
    async with reading(stage, Filter(devices=frozenset("cd"))) as seen:
        await seen.snapshot()


async def test_tags_that_match_too_many_devices(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "MAX_TAGGED", 3)
    stage.tags.devices = {f"d{i}": {"site": "north"} for i in range(4)}
    with pytest.raises(BadRequest):
        async with reading(stage, Filter(tags=frozenset({("site", None)}))):
            pass


async def test_a_snapshot_of_too_many_devices_says_so(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "MAX_DEVICES", 3)
    stage.tags.devices = {f"d{i}": {} for i in range(4)}
    async with reading(stage) as seen:
        output = await seen.next()
        assert output.truncated  # type: ignore[union-attr]
    stage.tags.devices.popitem()
    async with reading(stage) as seen:
        output = await seen.next()
        assert not output.truncated  # type: ignore[union-attr]
