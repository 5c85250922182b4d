"""Who asks for one device while others are read: is read with whoever else asked, and never gets an older answer."""

import asyncio
from collections.abc import Sequence

import pytest

from gateway.core.errors import SinkUnavailable, StateUnavailable
from gateway.domain.contracts.newest import NewestMessage
from gateway.domain.layouts import Layouts
from gateway.state.coalesce import READINGS
from gateway.state.read import NewestReader
from gateway.state.repair import repair
from tests.builders.batches import NOON, Message, batch
from tests.fakes import MemoryDirectory, MemoryNewest, MemorySink, MemoryState


class SlowState(MemoryState):
    """Notes each reading, and lets it wait as told; `poison` is a device that Redis cannot tell of."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[list[str]] = []
        self.open = asyncio.Event()
        self.poison = ""

    async def read(self, devices: Sequence[str]) -> list[list[NewestMessage] | None]:
        self.asked.append(list(devices))
        found = await super().read(devices)
        await self.open.wait()
        if self.poison in devices:
            raise StateUnavailable
        return found


class NoDatabase(MemoryNewest):
    async def read(self, _: Sequence[str]) -> list[list[NewestMessage]]:
        raise SinkUnavailable("it is away")


@pytest.fixture(name="state")
def slow() -> SlowState:
    return SlowState()


@pytest.fixture(name="sink")
def memory() -> MemorySink:
    return MemorySink()


@pytest.fixture(name="reader")
def reading(state: SlowState, sink: MemorySink) -> NewestReader:
    return NewestReader(state, sink, MemoryDirectory(), stored=NoDatabase(sink))


async def report(state: SlowState, sink: MemorySink, time_us: int) -> None:
    messages: list[Message] = [(f"d{i}", time_us, {"a": float(time_us)}) for i in range(6)]
    part = await state.apply((await sink.write([batch(Layouts(), *messages)])).newest)
    await repair(state, MemoryNewest(sink), part)


async def begun(state: SlowState, readings: int) -> None:
    async with asyncio.timeout(5):
        while len(state.asked) < readings:  # noqa: ASYNC110 - the reader begins when the loop lets it
            await asyncio.sleep(0)


async def test_those_who_ask_meanwhile_are_read_together(
    reader: NewestReader, state: SlowState, sink: MemorySink
) -> None:
    await report(state, sink, 1)
    first = reader.soon("d0")
    await begun(state, 1)
    rest = [reader.soon(name) for name in ("d3", "d4", "d3")]
    state.open.set()
    found = await asyncio.gather(first, *rest)
    assert [each and each.device for each in found] == ["d0", "d3", "d4", "d3"]
    assert state.asked == [["d0"], ["d3", "d4"]]


async def test_a_slow_reading_holds_nobody_up_and_there_are_few_at_once(
    reader: NewestReader, state: SlowState, sink: MemorySink
) -> None:
    await report(state, sink, 1)
    futures = []
    for number in range(READINGS):
        futures.append(reader.soon(f"d{number}"))
        await begun(state, number + 1)
    futures += [reader.soon("d4"), reader.soon("d5")]
    state.open.set()
    assert None not in await asyncio.gather(*futures)
    assert state.asked == [*([f"d{number}"] for number in range(READINGS)), ["d4", "d5"]]


async def test_nobody_is_given_what_was_read_before_they_asked(
    reader: NewestReader, state: SlowState, sink: MemorySink
) -> None:
    await report(state, sink, 1)
    early = [reader.soon("d1")]
    await begun(state, 1)
    early.append(reader.soon("d1"))
    await begun(state, 2)
    await report(state, sink, 2)
    late = reader.soon("d1")
    state.open.set()
    found = await late
    assert found is not None
    assert found.metrics["a"][1] == NOON + 2
    assert None not in await asyncio.gather(*early)


async def test_one_that_cannot_be_told_does_not_fail_the_others(
    reader: NewestReader, state: SlowState, sink: MemorySink
) -> None:
    await report(state, sink, 1)
    state.poison = "d2"
    state.open.set()
    futures = [reader.soon(f"d{i}") for i in range(6)]
    found = await asyncio.gather(*futures, return_exceptions=True)
    failed = [i for i, each in enumerate(found) if isinstance(each, SinkUnavailable)]
    assert failed == [2]
    assert found[3] is not None


async def test_whoever_gives_up_is_not_read_for(reader: NewestReader, state: SlowState, sink: MemorySink) -> None:
    await report(state, sink, 1)
    first = reader.soon("d0")
    await begun(state, 1)
    gone, stays = reader.soon("d4"), reader.soon("d5")
    gone.cancel()
    state.open.set()
    await asyncio.gather(first, stays)
    assert "d4" not in [name for asked in state.asked for name in asked]


async def test_closing_leaves_neither_a_reading_nor_one_who_waits(
    reader: NewestReader, state: SlowState, sink: MemorySink
) -> None:
    await report(state, sink, 1)
    before = asyncio.all_tasks()
    futures = [reader.soon("d0")]
    await begun(state, 1)
    futures.append(reader.soon("d1"))
    await reader.close()
    assert asyncio.all_tasks() == before
    assert [future.cancelled() for future in futures] == [True, True]
    assert state.asked == [["d0"]]
