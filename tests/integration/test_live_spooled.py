"""A reader that begins anew while the state is incomplete hears of what was only in the spool, when it is stored."""

import asyncio
from collections.abc import AsyncIterator, Collection
from typing import NamedTuple

import orjson
import pytest

from gateway.core import settings
from gateway.domain.principal import Principal, Role
from gateway.live.events import Event, Output, Snapshot
from gateway.live.filters import Filter
from gateway.live.streams import Streams
from gateway.services.spool_replay import SpoolReplay
from gateway.state.change_log import open_change_log
from gateway.state.store import Progress, open_state
from gateway.timescale.write.preview import preview
from tests.builders.batches import Message, batch
from tests.integration.live_gateways import Live, living, quicken, until
from tests.servers.databases import Database

ANYBODY = Principal(Role.ADMIN)


class Nobody:
    """No device has tags."""

    async def tagged(self, tags: Collection[tuple[str, str | None]], *, limit: int) -> list[str]:  # noqa: ARG002
        return []


class Stand(NamedTuple):
    live: Live
    streams: Streams
    url: str

    async def spool(self, *messages: Message) -> None:
        gateway = self.live.gateway
        blocks = preview([batch(gateway.layouts, *messages)], gateway.dictionary, last_wins=False)
        await self.live.publisher.publish(blocks, later_wins=False, spooled=True)

    async def drain(self, *messages: Message) -> None:
        live = self.live
        replay = SpoolReplay(
            live.gateway.writer.write,
            live.publisher.publish,
            live.gateway.letters,
            show_spooled=_nothing,
            answers=_well,
            drop=live.publisher.drop,
        )
        await replay.store([batch(live.gateway.layouts, *messages)])


async def _nothing(_: object) -> None:
    return


async def _well() -> bool:
    return True


@pytest.fixture
async def stand(timescale_db: Database, valkey: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stand]:
    quicken(monkeypatch)
    limits = settings.LiveSettings()
    async with (
        living(timescale_db.url, valkey) as live,
        open_change_log(settings.RedisSettings(url=valkey), limits, site=lambda: "test") as log,
        Streams(
            log,
            live.gateway.dictionary,
            by_tag=Nobody(),
            states=live.reader,
            limits=limits,
        ) as streams,
    ):
        await live.whole()
        yield Stand(live, streams, valkey)


class Reader:
    """What one reader knows: the newest time of each device, as it was told."""

    def __init__(self) -> None:
        self.known: dict[str, int] = {}
        self.resets = 0

    async def read(self, streams: Streams) -> None:
        with streams.reader(ANYBODY, cut=lambda: None) as reader:
            await reader.subscribe("", Filter(frozenset({"d", "e"})), last=None, snapshot=True)
            async for _, outputs in reader.rounds():
                for output in outputs:
                    self._take(output)

    def _take(self, output: Output) -> None:
        if isinstance(output, Snapshot):
            self.resets += 1
            self.known = {}
            for device, metrics in orjson.loads(output.states).items():
                self.known[device] = int(metrics["a"]["value"])
        elif isinstance(output, Event):
            self.known |= {change.device: int(str(change.values["a"])[0]) for change in output.changes}

    async def comes_to_know(self, device: str, value: int) -> None:
        async def knows() -> bool:
            return self.known.get(device) == value

        await until(knows)


async def test_what_was_in_the_spool_during_a_rebuild_is_not_missed(stand: Stand) -> None:
    live, reader = stand.live, Reader()
    await live.report(("d", 5, {"a": 5.5}), ("e", 5, {"a": 5.5}))
    reading = asyncio.create_task(reader.read(stand.streams))
    try:
        await reader.comes_to_know("d", 5)
        async with open_state(settings.RedisSettings(url=stand.url), site="test") as other:
            server = (await other.check()).server
            assert await other.step("begin", progress=Progress(0, 1), server=server)  # one that takes its time
            resets = reader.resets
            await stand.spool(("d", 7, {"a": 7.5}))
            await reader.comes_to_know("d", 7)
            await other.mark_incomplete()
            assert await other.step("begin", progress=Progress(0, 1), server=server)
            await reader.comes_to_know("d", 5)  # the database does not know better, and the state is not believed
            assert reader.resets > resets
            await stand.drain(("d", 7, {"a": 7.5}))
            await reader.comes_to_know("d", 7)
            await other.step("leave", progress=Progress(0, 1), server=server)
            await other.leave()
    finally:
        reading.cancel()
        await asyncio.wait([reading])
