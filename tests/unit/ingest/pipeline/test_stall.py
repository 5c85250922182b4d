"""When the pipeline stands still: readings come in, and none becomes durable."""

import asyncio
from collections.abc import Callable

import pytest

from gateway.ingest.pipeline.stall import QUIET_SECS, STALL_SECS, Stall, watching
from gateway.telemetry import ledger_events


class Time:
    def __init__(self) -> None:
        self.now = 1000.0

        self.looks = 0

    def __call__(self) -> float:
        self.looks += 1
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def still(time: Time) -> Stall:
    return Stall(time)


def feed(still: Stall, time: Time, *, secs: float, every: float) -> None:
    until = time.now + secs
    while time.now < until:
        still.entered()
        time.now += every


def test_nothing_is_wrong_without_input(still: Stall, time: Time) -> None:
    assert still.secs == 0
    time.now += 1000
    assert still.secs == 0


def test_input_without_progress_is_a_stall_after_its_time_and_not_before(still: Stall, time: Time) -> None:
    still.entered()
    time.now += STALL_SECS - 0.1
    still.entered()
    assert still.secs == 0
    time.now += 0.1
    assert still.secs == pytest.approx(STALL_SECS)
    time.now += 5
    assert still.secs == pytest.approx(STALL_SECS + 5)


def test_progress_ends_it_and_the_time_begins_anew(still: Stall, time: Time) -> None:
    feed(still, time, secs=40, every=1)
    assert still.secs
    still.durable()
    assert still.secs == 0
    feed(still, time, secs=STALL_SECS - 1, every=1)
    assert still.secs == 0
    feed(still, time, secs=2, every=1)
    assert still.secs


def test_slow_progress_is_progress(still: Stall, time: Time) -> None:
    for _ in range(10):
        feed(still, time, secs=STALL_SECS - 1, every=1)
        assert still.secs == 0
        still.durable()


def test_a_worker_that_gets_no_traffic_any_more_recovers(still: Stall, time: Time) -> None:
    feed(still, time, secs=40, every=1)
    time.now += QUIET_SECS
    assert still.secs == 0
    still.entered()
    assert still.secs == 0, "what failed long ago says nothing about now"
    time.now += STALL_SECS
    assert still.secs


def test_a_message_that_is_tried_after_each_time_out_is_still_input(still: Stall, time: Time) -> None:
    feed(still, time, secs=120, every=35)
    assert still.secs > 100


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - it is another task that is watched
            await asyncio.sleep(0.001)


async def test_it_is_said_once_when_it_begins_and_once_when_it_ends(
    still: Stall, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(ledger_events, "stalled", lambda secs: said.append(f"stalled {secs:.0f}"))
    monkeypatch.setattr(ledger_events, "unstalled", lambda: said.append("over"))

    async def look_often() -> None:
        goal = time.looks + 5
        await until(lambda: time.looks >= goal)

    async with watching(still, every_secs=0.001):
        still.entered()
        time.now += STALL_SECS
        await look_often()
        assert said == [f"stalled {STALL_SECS:.0f}"]
        still.durable()
        await until(lambda: said[-1] == "over")
        still.entered()
        await look_often()
    assert said == [f"stalled {STALL_SECS:.0f}", "over"]
