"""What the reading of the log rests from: its own work, and never what it waited for. No real clock."""

import asyncio
from collections.abc import Collection, Mapping

import pytest

from gateway.domain.changes import Logged, LogPosition
from gateway.domain.model import Shape
from gateway.live.filters import LoggedBatch
from gateway.live.hub import Hub
from gateway.live.tail import BRIEF_SECS, REST_SECS, Tail
from tests.builders.live_parts import KnownShapes, reading
from tests.fakes.live import MemoryChangeLog
from tests.unit.live.reading import until

CHANGES = 3


class Time:
    """A clock that goes on only when a part says that it took so long, and what was rested."""

    def __init__(self) -> None:
        self.now = 0.0
        self.rests: list[float] = []

    def read(self) -> float:
        return self.now

    async def sleep(self, secs: float) -> None:
        if secs:
            self.rests.append(secs)
        self.now += secs
        await asyncio.sleep(0)


class SlowLog(MemoryChangeLog):
    """A log on which each entry comes after a while, alone."""

    def __init__(self, time: Time, secs: float) -> None:
        super().__init__()
        self._time, self._secs = time, secs
        self.read_upto: LogPosition | None = None

    async def after(self, position: LogPosition) -> list[Logged]:
        self.read_upto = position
        self._time.now += self._secs
        return (await super().after(position))[:1]


class SlowShapes(KnownShapes):
    """A database that takes a while to say what a shape is."""

    def __init__(self, time: Time, secs: float) -> None:
        self._time, self._secs = time, secs

    async def shapes(self, ids: Collection[int]) -> Mapping[int, Shape]:
        self._time.now += self._secs
        return await super().shapes(ids)


class SlowHub(Hub):
    """So many readers that telling them takes a while."""

    def __init__(self, time: Time, secs: float) -> None:
        super().__init__()
        self._time, self._secs = time, secs

    def publish(self, batch: LoggedBatch) -> int:
        self._time.now += self._secs
        return super().publish(batch)


async def rests(monkeypatch: pytest.MonkeyPatch, *, log: float = 0, shapes: float = 0, hub: float = 0) -> list[float]:
    """Pass changes on over parts that take so many seconds for each; return how long was rested."""
    monkeypatch.setattr("tests.fakes.live.WAIT_SECS", 0.02)
    time = Time()
    changes = SlowLog(time, log)
    parts = Tail(changes, SlowShapes(time, shapes), SlowHub(time, hub), monotonic=time.read, sleep=time.sleep)
    async with parts:
        parts.enter()
        await parts.settled()
        for number in range(CHANGES):
            changes.add(("d1", reading(float(number))))
        await until(lambda: changes.read_upto == changes.end)
    return time.rests


async def test_after_a_quiet_while_the_next_changes_are_passed_on_without_a_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert await rests(monkeypatch, log=0.9) == []


async def test_a_shape_that_the_database_had_to_be_asked_for_is_nothing_to_rest_from(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert await rests(monkeypatch, shapes=0.4) == []


@pytest.mark.parametrize(
    ("takes", "rested"),
    [(BRIEF_SECS / 2, None), (2 * BRIEF_SECS, 2 * BRIEF_SECS), (REST_SECS, REST_SECS), (4.0, REST_SECS)],
)
async def test_telling_many_readers_is_rested_from_as_long_as_it_took(
    monkeypatch: pytest.MonkeyPatch, takes: float, rested: float | None
) -> None:
    found = await rests(monkeypatch, log=0.9, hub=takes)
    assert found == ([] if rested is None else [pytest.approx(rested)] * CHANGES)
