"""Readers over a log in memory: where they begin, what they are shown, and that no gap goes unsaid."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.core.errors import StateUnavailable
from gateway.domain.changes import LogPosition
from gateway.domain.contracts.newest import NewestMessage
from gateway.domain.model import Kind
from gateway.live import subscription, tail
from gateway.live.events import Event
from gateway.live.filters import Filter
from tests.builders.live_parts import NOON_US, Stage, staged
from tests.builders.live_parts import reading as message
from tests.unit.live.reading import Seen, reading, until

SHOWN = {"d1": {"t": {"value": 1.5, "ts": "2024-11-22T12:03:20.123000Z", "kind": "double"}}}


@pytest.fixture
async def stage(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    monkeypatch.setattr(tail, "WATCH_SECS", 0.02)
    monkeypatch.setattr("tests.fakes.live.WAIT_SECS", 0.02)
    monkeypatch.setattr(subscription, "AGAIN_SECS", 0.02)
    async with staged() as made:
        made.tags.devices = {"d1": {"site": "north"}, "d2": {"site": "south", "floor": "2"}}
        made.states.known = {"d1": {"t": (1.5, NOON_US, Kind.DOUBLE)}}
        yield made


async def test_a_new_stream_begins_with_all_newest_values(stage: Stage) -> None:
    stage.log.add(("d1", message(1.5)))
    async with reading(stage) as seen:
        reason, states, position = await seen.snapshot()
        assert (reason, states, position) == ("start", SHOWN, stage.log.end)
        stage.log.add(("d1", message(2.5, after=7)), ("d2", message(3.5)))
        assert await seen.changes() == (
            [("d1", NOON_US + 7, {"t": 2.5}), ("d2", NOON_US, {"t": 3.5})],
            stage.log.end,
        )


async def test_values_keep_their_kinds(stage: Stage) -> None:
    async with reading(stage, snapshot=False) as seen:
        assert (await seen.snapshot())[1] == {}
        stage.log.add(("d1", NewestMessage(2, NOON_US, (1.0, 2.5), (2**62,), ("ß",))))
        changes, _ = await seen.changes()
        assert changes == [("d1", NOON_US, {"open": True, "t": 2.5, "n": 2**62, "fw": "ß"})]
        assert changes[0][2]["open"] is True


@pytest.mark.parametrize(
    ("wanted", "shown"),
    [
        (Filter(devices=frozenset({"d2"})), [2.5]),
        (Filter(tags=frozenset({("site", "north")})), [1.5]),
        (Filter(tags=frozenset({("floor", None)})), [2.5]),
        (Filter(tags=frozenset({("site", None)}), devices=frozenset({"d2", "d3"})), [2.5]),
        (Filter(metrics=frozenset({"t"})), [1.5, 2.5, 3.5]),
    ],
)
async def test_only_what_is_wanted_is_shown(stage: Stage, wanted: Filter, shown: list[float]) -> None:
    async with reading(stage, wanted) as seen:
        await seen.snapshot()
        stage.log.add(("d1", message(1.5)), ("d2", message(2.5)), ("d3", message(3.5)))
        assert await seen.values() == shown


async def test_a_metric_nobody_wants_makes_no_event(stage: Stage) -> None:
    async with reading(stage, Filter(metrics=frozenset({"n"}))) as seen:
        assert (await seen.snapshot())[1] == {}
        stage.log.add(("d1", message(1.5)))
        stage.log.add(("d1", NewestMessage(2, NOON_US, (1.0, 2.5), (7,), ("ß",))))
        assert await seen.changes() == ([("d1", NOON_US, {"n": 7})], stage.log.end)


async def test_a_tag_that_moves_is_followed(stage: Stage) -> None:
    async with reading(stage, Filter(tags=frozenset({("site", "north")}))) as seen:
        await seen.snapshot()
        stage.tags.devices["d2"]["site"] = "north"
        del stage.tags.devices["d1"]["site"]
        stage.streams.devices_changed(["d1", "d2"])
        (feed,) = stage.streams._source.hub.feeds
        await until(lambda: feed.names == frozenset({"d2"}))
        stage.log.add(("d1", message(1.5)), ("d2", message(2.5)))
        assert await seen.values() == [2.5]


async def test_coming_back_nothing_is_missed_and_nothing_repeated(stage: Stage) -> None:
    async with reading(stage) as seen:
        await seen.snapshot()
        stage.log.add(("d1", message(0.5)))
        _, last = await seen.changes()
    for value in range(7):  # more than a page
        stage.log.add(("d1", message(float(value))), ("d2", message(-1.0)))
    async with reading(stage, Filter(devices=frozenset({"d1"})), last=last) as seen:
        stage.log.add(("d1", message(7.0)))
        assert [await seen.values() for _ in range(8)] == [[float(value)] for value in range(8)]


async def test_coming_back_to_where_one_was_needs_nothing(stage: Stage) -> None:
    stage.log.add(("d1", message(1.5)))
    async with reading(stage, last=stage.log.end) as seen:
        stage.log.add(("d1", message(2.5)))
        assert await seen.values() == [2.5]
    assert stage.states.reads == 0


async def test_too_old_to_be_replayed(stage: Stage) -> None:
    async with reading(stage) as keeps_it_alive:
        await keeps_it_alive.snapshot()
        first = stage.log.add(("d1", message(0.5)))
        stage.log.add(("d1", message(1.5)))
        await until(lambda: stage.streams._source.hub.position == stage.log.end)
        stage.log.trim(2)
        async with reading(stage, last=first) as seen:
            assert await seen.snapshot() == ("too_old", SHOWN, stage.log.end)
            stage.log.add(("d1", message(2.5)))
            assert await seen.values() == [2.5]


async def test_a_log_that_redis_drops_in_a_quiet_moment_is_missed_without_waiting_for_the_next_change(
    stage: Stage,
) -> None:
    async with reading(stage) as seen:
        await seen.snapshot()
        stage.log.away = True
        stage.log.add(("d1", message(1.5)))
        stage.log.trim(1)
        stage.log.away = False
        assert (await seen.snapshot())[0] == "lost"
        stage.log.add(("d1", message(2.5)))
        assert await seen.values() == [2.5]


@pytest.mark.parametrize(("ago_ms", "reason"), [(1000, "lost"), (400_000, "too_old")])
async def test_an_id_of_another_epoch(stage: Stage, ago_ms: int, reason: str) -> None:
    stage.log.end = stage.log.end._replace(ms=10_000_000)
    last = LogPosition("epoch0000", 5, stage.log.end.ms - ago_ms)
    async with reading(stage, last=last) as seen:
        assert (await seen.snapshot())[0] == reason


async def test_an_id_from_the_future_is_not_believed(stage: Stage) -> None:
    async with reading(stage, last=stage.log.end._replace(offset=10**12)) as seen:
        assert (await seen.snapshot())[0] == "lost"


async def test_a_new_epoch_resets_every_stream(stage: Stage) -> None:
    async with reading(stage) as one, reading(stage, Filter(devices=frozenset({"d1"}))) as other:
        for seen in (one, other):
            await seen.snapshot()
        stage.log.lose_all()
        for seen in (one, other):
            reason, states, position = await seen.snapshot()
            assert (reason, states, position.epoch) == ("lost", SHOWN, "epoch0002")
        stage.log.add(("d1", message(2.5)))
        assert [await seen.values() for seen in (one, other)] == [[2.5], [2.5]]


async def test_an_entry_that_is_missing_resets(stage: Stage) -> None:
    async with reading(stage) as seen:
        await seen.snapshot()
        stage.log.away = True
        stage.log.add(("d1", message(1.5)))
        stage.log.add(("d1", message(2.5)))
        stage.log.trim(1)
        stage.log.away = False
        assert (await seen.snapshot())[0] == "lost"
        assert await seen.values() == [2.5]


async def test_a_turn_is_told_and_no_change_is_left_out(stage: Stage) -> None:
    async with reading(stage) as seen:
        await seen.snapshot()
        stage.log.away = True
        stage.log.add(("d1", message(1.5)))
        stage.log.turn()
        stage.log.add(("d1", message(2.5)))
        await until(lambda: stage.streams._tail._troubled)
        stage.log.away = False
        told = [(await seen.next()) for _ in range(3)]
        assert sorted(type(output).__name__ for output in told) == ["Event", "Event", "Snapshot"]
        stage.log.turn()  # and no traffic
        assert (await seen.snapshot())[0] == "lost"
        stage.log.add(("d1", message(3.5)))
        assert await seen.values() == [3.5]


async def test_coming_back_after_a_turn_shows_what_there_is_and_then_all_newest_values(stage: Stage) -> None:
    last = stage.log.add(("d1", message(0.5)))
    stage.log.add(("d1", message(1.5)))
    stage.log.turn()
    stage.log.add(("d1", message(2.5)))
    async with reading(stage, last=last) as seen:
        assert [await seen.values() for _ in range(2)] == [[1.5], [2.5]]
        assert (await seen.snapshot())[0] == "lost"
        stage.log.add(("d1", message(3.5)))
        assert await seen.values() == [3.5]


async def test_redis_away_for_a_while_loses_nothing(stage: Stage) -> None:
    async with reading(stage) as seen:
        await seen.snapshot()
        stage.log.away = True
        stage.log.add(("d1", message(1.5)))
        await until(lambda: stage.streams._tail._troubled)
        stage.log.away = False
        assert await seen.values() == [1.5]


async def test_a_stream_needs_the_log_to_begin(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "START_SECS", 0.05)
    stage.log.away = True
    with pytest.raises(StateUnavailable):
        async with reading(stage):
            pass


async def test_newest_values_are_asked_for_again_if_they_cannot_be_read(stage: Stage) -> None:
    stage.states.failure = StateUnavailable()
    async with reading(stage) as seen:
        asking = asyncio.create_task(seen.snapshot())
        await until(lambda: stage.states.reads > 1)
        stage.states.failure = None
        assert (await asking)[:2] == ("start", SHOWN)


async def test_many_who_begin_together_share_one_read(stage: Stage) -> None:
    async def begin() -> None:
        async with reading(stage) as seen:
            assert (await seen.snapshot())[1] == SHOWN

    async with reading(stage) as keeps_it_open:
        await keeps_it_open.snapshot()
        before = stage.states.reads
        await asyncio.gather(*(begin() for _ in range(50)))
        assert stage.states.reads - before <= 2


async def test_a_reader_whose_devices_are_silent_hears_how_far_the_log_is(stage: Stage) -> None:
    async with reading(stage, Filter(devices=frozenset({"quiet"}))) as seen:
        await seen.snapshot()
        last = stage.log.add(("d1", message(1.5)))
        event = await seen.next()
        assert isinstance(event, Event)
        assert (event.changes, event.parts, event.position) == ((), [b"[]"], last)


async def test_a_slow_reader_gets_the_newest_of_each_series(stage: Stage) -> None:
    async with reading(stage) as slow, reading(stage) as quick:
        for seen in (slow, quick):
            await seen.snapshot()
        for value in range(2000):
            stage.log.add(("d1", message(float(value), after=value)), ("d2", message(-float(value), after=value)))
        await until(lambda: stage.streams._source.hub.position == stage.log.end)
        assert await slow.lagged() == 2 * 2000 - 2
        assert await slow.values() == [1999.0, -1999.0]


async def test_nobody_reads_nothing_is_watched(stage: Stage) -> None:
    async with reading(stage) as seen:
        await seen.snapshot()
    await until(lambda: stage.streams._source.hub.position is None)
    watches = stage.log.watches
    stage.log.add(("d1", message(1.5)))
    async with reading(stage) as again:
        await _begins_at_the_end(again, stage)
    assert stage.log.watches > watches


async def _begins_at_the_end(seen: Seen, stage: Stage) -> None:
    reason, _, position = await seen.snapshot()
    assert (reason, position) == ("start", stage.log.end)
