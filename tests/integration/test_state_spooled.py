"""What is in the spool and not in the database: the state shows it, and equals the database once that is drained."""

from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import NamedTuple

import pytest

from gateway.domain.contracts.newest import NewestMessage
from gateway.domain.model import Batch, Block
from gateway.services.spool_replay import SpoolReplay
from gateway.timescale.write.preview import preview
from tests.builders.batches import NOON, Message, batch, shown
from tests.integration.live_gateways import Live, living, quicken, until
from tests.integration.writing import execute
from tests.servers.databases import Database


class Spooling(NamedTuple):
    """A gateway whose database is away as far as it knows."""

    live: Live
    replay: SpoolReplay
    waiting: list[list[Message]]

    async def spool(self, *messages: Message) -> None:
        self.waiting.append(list(messages))
        await show_spooled(self.live, [batch(self.live.gateway.layouts, *messages)])

    async def drain(self) -> None:
        batches = [batch(self.live.gateway.layouts, *messages) for messages in self.waiting]
        for each, outcome in zip(batches, await self.replay.store(batches), strict=True):
            if outcome.conflicts or outcome.rejected:
                await self.replay.bury(each, outcome)

    async def times(self, *devices: str) -> list[list[tuple[int, tuple[float, ...]]]]:
        """What Redis tells; it holds all of these devices."""
        found = await self.live.state.read(devices)
        assert None not in found
        return [sorted((entry.time_us - NOON, entry.doubles) for entry in entries or ()) for entries in found]

    async def equals(self, *devices: str) -> bool:
        """Whether Redis tells what the database does."""
        told = await self.live.state.read(devices)
        return _sorted(told) == _sorted(await self.live.stored.read(devices))


async def show_spooled(live: Live, batches: Sequence[Batch]) -> None:
    blocks = preview(batches, live.gateway.dictionary, last_wins=False)
    await live.publisher.publish(blocks, later_wins=False, spooled=True)


def _sorted(told: Sequence[Sequence[NewestMessage] | None]) -> list[list[NewestMessage] | None]:
    return [None if entries is None else sorted(entries) for entries in told]


@pytest.fixture
async def away(timescale_db: Database, valkey: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Spooling]:
    quicken(monkeypatch)
    async with living(timescale_db.url, valkey) as live:
        await live.whole()
        writer, letters = live.gateway.writer, live.gateway.letters
        replay = SpoolReplay(
            writer.write,
            live.publisher.publish,
            letters,
            show_spooled=partial(show_spooled, live),
            answers=_well,
            drop=live.publisher.drop,
        )
        yield Spooling(live, replay, [])


async def _well() -> bool:
    return True


async def test_a_spooled_reading_is_shown_at_once_and_a_late_one_replaces_nothing(away: Spooling) -> None:
    await away.live.report(("d", 5, {"a": 0.5}), ("e", 5, {"a": 0.5}))
    await until(lambda: away.equals("d", "e"))
    await away.spool(("d", 7, {"a": 1.5}), ("d", 6, {"a": 2.5}), ("e", 4, {"a": 3.5}))
    assert await away.times("d", "e") == [[(7, (1.5,))], [(5, (0.5,))]]
    await away.drain()
    assert await away.equals("d", "e")


async def test_a_shape_whose_id_is_not_known_is_shown_when_it_is_stored(away: Spooling) -> None:
    await away.live.report(("d", 5, {"a": 0.5}))
    await until(lambda: away.equals("d"))
    await away.spool(("d", 6, {"a": 1.5}), ("d", 7, {"new": 2.5}), ("d", 8, {"new": 2.5, "x": "y"}))
    assert await away.times("d") == [[(6, (1.5,))]]
    await away.drain()
    assert [times for times, _ in (await away.times("d"))[0]] == [6, 7, 8]
    assert await away.equals("d")


async def test_what_was_stored_though_its_answer_was_lost_is_shown_once_it_is_drained(away: Spooling) -> None:
    """Its shape was new, so it could not be shown from the spool; and the drainer finds it stored already."""
    await away.live.report(("d", 5, {"a": 0.5}))
    await until(lambda: away.equals("d"))
    lost: list[Message] = [("d", 6, {"new": 1.5}), ("d", 7, {"a": 2.5})]
    gateway = away.live.gateway
    await away.spool(*lost)
    await gateway.write([*lost, ("d", 4, {"new": 7.5})])
    await gateway.write([("d", 8, {"a": 9.5})])
    away.waiting[0].insert(0, ("d", 4, {"new": 8.5}))  # a conflict is not
    await away.drain()
    await until(lambda: away.equals("d"))
    assert await away.times("d") == [[(6, (1.5,)), (8, (9.5,))]]


async def test_what_the_database_knows_otherwise_or_refuses_is_shown_no_more(
    timescale_db: Database, away: Spooling
) -> None:
    """Another gateway stored another value meanwhile; and a constraint refuses a row."""
    live = away.live
    names = ["same", "other", "refused", "removed"]
    before: list[Message] = [(name, 5, {"a": 0.5}) for name in names]
    await live.report(*before)
    await until(lambda: away.equals(*names))
    await execute(timescale_db.url, "alter table messages add constraint low check (values[1] < 100)")
    after: list[Message] = [(name, 9, {"a": 500.0 if name == "refused" else 1.5}) for name in names]
    await away.spool(*after)
    assert await away.times(*names) == [[(9, (500.0 if name == "refused" else 1.5,))] for name in names]
    await live.gateway.write([("other", 9, {"a": 7.5})])
    await execute(
        timescale_db.url, "delete from device_shapes where device_id = (select id from devices where name = 'removed')"
    )
    await execute(timescale_db.url, "delete from devices where name = 'removed'")
    live.gateway.dictionary.forget_devices(None)
    await away.drain()
    await until(lambda: away.equals("same", "other", "refused"))
    assert await away.times("same", "other", "refused") == [[(9, (1.5,))], [(9, (7.5,))], [(5, (0.5,))]]


async def test_what_was_dropped_is_right_after_a_rebuild_too(timescale_db: Database, away: Spooling) -> None:
    """The gateway dies before the state has forgotten it: whoever misses it rebuilds."""
    live = away.live
    await live.report(("d", 5, {"a": 0.5}))
    await until(lambda: away.equals("d"))
    await away.spool(("d", 9, {"a": 1.5}))
    await live.gateway.write([("d", 9, {"a": 7.5})])
    assert await away.times("d") == [[(9, (1.5,))]]
    await live.state.mark_incomplete()
    await live.whole()
    assert await away.times("d") == [[(9, (7.5,))]]


async def test_a_preview_is_what_the_writer_tells_of_the_same_messages(away: Spooling) -> None:
    gateway = away.live.gateway
    messages: list[Message] = [
        (f"d{n % 3}", n // 2, {f"m{n % 4}": n + 0.5, **({"n": n, "t": "x" * n} if n % 2 else {})}) for n in range(40)
    ]
    one = batch(gateway.layouts, *messages[:25], ("d0", 0, {"m0": 9.5}))
    two = batch(gateway.layouts, *messages[25:])
    assert preview([one, two], gateway.dictionary, last_wins=False) == []
    written = await gateway.writer.write([one, two])
    blocks: list[Block] = preview([one, two], gateway.dictionary, last_wins=False)
    ids = {int(number) for block in blocks for number in block.shapes}
    shapes = await gateway.dictionary.shapes(ids)
    assert shown(blocks, shapes) == shown(written.newest, shapes)
    assert preview([], gateway.dictionary, last_wins=True) == []
