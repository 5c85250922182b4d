"""What dashboards see: the newest of each metric over all shapes and kinds, and who is known at all."""

from typing import NamedTuple

import pytest

from gateway.core.errors import SinkUnavailable
from gateway.domain.contracts.newest import DeviceState, NewestTimes
from gateway.domain.layouts import Layouts
from gateway.state.read import NewestReader
from gateway.state.repair import repair
from tests.builders.batches import NOON, Message, batch
from tests.fakes import MemoryDirectory, MemoryNewest, MemorySink, MemoryState


class Place(NamedTuple):
    reader: NewestReader
    state: MemoryState
    directory: MemoryDirectory
    sink: MemorySink
    stored: MemoryNewest
    layouts: Layouts

    async def report(self, *messages: Message) -> None:
        written = await self.sink.write([batch(self.layouts, *messages)])
        await repair(self.state, self.stored, await self.state.apply(written.newest))
        self.stored.reads.clear()

    async def shown(self, device: str, *, source: str = "redis") -> dict[str, tuple[object, int, str]]:
        found = await self.reader.device(device)
        assert found is not None
        assert (found.device, found.source) == (device, source)
        return {name: (value, time_us - NOON, kind.value) for name, (value, time_us, kind) in found.metrics.items()}


@pytest.fixture
def place() -> Place:
    layouts = Layouts()
    state, directory, sink = MemoryState(), MemoryDirectory(), MemorySink()
    stored = MemoryNewest(sink)
    return Place(NewestReader(state, sink, directory, stored=stored), state, directory, sink, stored, layouts)


async def test_each_metric_is_shown_with_its_newest_value_and_time(place: Place) -> None:
    await place.report(("d", 5, {"a": 1.5, "b": 2.5}), ("d", 9, {"a": 3.5}), ("d", 7, {"b": 0.5, "c": 1.5}))
    assert await place.shown("d") == {"a": (3.5, 9, "double"), "b": (0.5, 7, "double"), "c": (1.5, 7, "double")}


async def test_every_kind_is_shown_as_it_was_said(place: Place) -> None:
    await place.report(("d", 0, {"on": True, "off": False, "n": 2**63 - 1, "t": "ü", "a": -0.5}))
    found = await place.shown("d")
    assert found == {
        "on": (True, 0, "bool"),
        "off": (False, 0, "bool"),
        "n": (2**63 - 1, 0, "int"),
        "t": ("ü", 0, "text"),
        "a": (-0.5, 0, "double"),
    }
    assert found["on"][0] is True


async def test_of_two_kinds_the_newer_is_shown(place: Place) -> None:
    await place.report(("d", 0, {"a": 21.5}), ("d", 1, {"a": "ERR"}))
    assert await place.shown("d") == {"a": ("ERR", 1, "text")}
    await place.report(("d", 2, {"a": 22.5}))
    assert await place.shown("d") == {"a": (22.5, 2, "double")}


async def test_at_the_same_time_the_older_shape_wins(place: Place) -> None:
    await place.report(("d", 0, {"a": 1.5, "b": 1.5}))
    await place.report(("d", 0, {"a": 2.5}))
    assert (await place.shown("d"))["a"] == (1.5, 0, "double")


async def test_many_are_given_in_the_order_asked(place: Place) -> None:
    messages: list[Message] = [(f"d{i}", i, {"a": i + 0.5}) for i in range(5)]
    await place.report(*messages)
    found = await place.reader.devices(["d3", "nobody", "d0", "d3"])
    assert [each and each.device for each in found] == ["d3", None, "d0", "d3"]
    assert await place.reader.devices([]) == []


async def test_a_registered_device_without_readings_is_empty_and_a_stranger_is_none(place: Place) -> None:
    place.directory.add("quiet")
    assert await place.reader.devices(["quiet", "stranger"]) == [DeviceState("quiet", {}, "db"), None]
    assert await place.reader.devices(["quiet", "stranger"]) == [DeviceState("quiet", {}, "redis"), None]
    assert place.stored.reads == [["quiet"]]
    assert await place.state.read(["quiet", "stranger"]) == [[], None]


async def test_devices_with_a_state_are_not_looked_up(place: Place) -> None:
    await place.report(("d", 0, {"a": 0.5}))
    await place.reader.devices(["d"])
    assert place.directory.looked_up == []


async def test_a_shape_nobody_knows_is_left_out(place: Place) -> None:
    """A state that was written from a database restored to an earlier day."""
    await place.report(("d", 0, {"a": 0.5}), ("d", 1, {"b": 0.5}))
    place.sink._shape_ids = dict(list(place.sink._shape_ids.items())[:1])
    assert set(await place.shown("d")) == {"a"}


@pytest.mark.parametrize("lost", ["away", "incomplete"])
async def test_without_redis_the_database_gives_the_same_answers(place: Place, lost: str) -> None:
    messages: list[Message] = [
        ("d", 0, {"on": True, "n": 2**63 - 1, "t": "ü", "a": -0.5}),
        ("d", 0, {"a": 2.5}),
        ("d", 7, {"b": 1.5}),
        ("d", 3, {"b": 0.5}),
    ]
    await place.report(*messages)
    place.directory.add("quiet")
    asked = ["d", "quiet", "stranger", "d"]
    await place.reader.device("quiet")
    shown = await place.reader.devices(asked)
    assert {each.source for each in shown if each} == {"redis"}
    place.stored.reads.clear()
    place.state.away, place.state.complete = lost == "away", lost == "away"
    assert await place.reader.devices(asked) == [each and each._replace(source="db") for each in shown]
    assert place.stored.reads == [asked]


async def test_a_device_that_redis_has_dropped_comes_from_the_database_and_is_there_again(place: Place) -> None:
    await place.report(("d", 0, {"a": 0.5}), ("e", 0, {"a": 1.5}))
    place.directory.add("d", "e")
    place.state.forget("d")
    sources = [each and each.source for each in await place.reader.devices(["e", "d", "d"])]
    assert sources == ["redis", "db", "db"]
    assert await place.shown("d") == {"a": (0.5, 0, "double")}
    assert place.stored.reads == [["d"]]


@pytest.mark.parametrize("late", [("d", 1, {"b": 9.5}), ("d", 2, {"a": 9.5})], ids=["shape", "late"])
async def test_what_comes_in_after_a_device_was_dropped_is_not_taken_for_all_of_it(place: Place, late: Message) -> None:
    await place.report(("d", 5, {"a": 0.5}), ("d", 6, {"b": 1.5}))
    place.directory.add("d")
    place.state.forget("d")
    written = await place.sink.write([batch(place.layouts, late)])
    await place.state.apply(written.newest)
    expected = {"a": (0.5, 5, "double"), "b": (1.5, 6, "double")}
    assert (await place.reader.times({"d": True})) == NewestTimes({"d": NOON + 6}, "db")
    assert await place.shown("d", source="db") == expected
    assert await place.shown("d") == expected
    assert (await place.reader.times({"d": True})) == NewestTimes({"d": NOON + 6}, "redis")


async def test_a_device_that_redis_does_not_hold_whole_is_not_shown_without_the_database(place: Place) -> None:
    await place.report(("d", 5, {"a": 0.5}), ("e", 5, {"a": 0.5}))
    place.directory.add("d", "e")
    place.state.forget("d")
    place.stored.failure = SinkUnavailable()
    with pytest.raises(SinkUnavailable):
        await place.reader.device("d")
    assert await place.shown("e") == {"a": (0.5, 5, "double")}


async def test_without_redis_and_database_there_is_no_answer(place: Place) -> None:
    place.state.away, place.stored.failure = True, SinkUnavailable()
    with pytest.raises(SinkUnavailable):
        await place.reader.device("d")


async def test_who_was_no_device_a_moment_ago_is_shown_as_soon_as_its_first_reading_is_stored(place: Place) -> None:
    assert await place.reader.device("d") is None  # which is remembered, until the news of its making come
    place.directory.add("d")
    written = await place.sink.write([batch(place.layouts, ("d", 5, {"a": 1.5}))])
    assert await place.state.apply(written.newest) == ["d"]  # not whole, and nobody has filled it yet
    assert await place.shown("d", source="db") == {"a": (1.5, 5, "double")}
    assert await place.shown("d") == {"a": (1.5, 5, "double")}
