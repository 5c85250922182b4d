"""Long work is done in slices: the loop goes on meanwhile, all work shares a turn, nothing waits that need not."""

import asyncio
import itertools
from collections.abc import Generator

import pytest

from gateway.core.slices import Slices, Steps, at_once

TURN = 10.0


class Clock:
    """A clock that work moves on."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def work(clock: Clock, steps: int, done: list[str], name: str = "a") -> Steps[str]:
    for _ in range(steps):
        clock.now += 1
        done.append(name)
        yield
    return name


async def test_little_work_waits_for_nobody() -> None:
    clock, done = Clock(), list[str]()
    running = Slices(clock, turn_secs=TURN).run(work(clock, 5, done))
    with pytest.raises(StopIteration) as end:
        running.send(None)
    assert end.value.value == "a"


async def test_long_work_leaves_the_loop_to_others_after_each_slice() -> None:
    clock, done = Clock(), list[str]()
    slices, seen = Slices(clock, turn_secs=TURN), list[int]()
    task = asyncio.ensure_future(slices.run(work(clock, 95, done)))
    while not task.done():
        await asyncio.sleep(0)
        seen.append(len(done))
    assert task.result() == "a"
    assert max(b - a for a, b in itertools.pairwise(seen)) <= TURN
    assert len(set(seen)) >= 9


async def test_ten_take_no_more_of_a_turn_than_one_and_all_come_to_an_end() -> None:
    clock, done = Clock(), list[str]()
    slices = Slices(clock, turn_secs=TURN)
    tasks = [asyncio.ensure_future(slices.run(work(clock, 50, done, str(n)))) for n in range(10)]
    most = before = 0
    while not all(task.done() for task in tasks):
        await asyncio.sleep(0)
        most, before = max(most, len(done) - before), len(done)
    assert [task.result() for task in tasks] == [str(n) for n in range(10)]
    assert most <= TURN
    assert len(set(done[:110])) == 10  # each had its slice before any had all of its own


async def test_what_the_work_raises_is_raised_and_others_go_on() -> None:
    clock, done = Clock(), list[str]()
    slices = Slices(clock, turn_secs=TURN)

    def failing() -> Steps[None]:
        yield from work(clock, 30, done)
        raise ValueError

    failed, whole = await asyncio.gather(
        slices.run(failing()), slices.run(work(clock, 40, done, "b")), return_exceptions=True
    )
    assert isinstance(failed, ValueError)
    assert whole == "b"


async def test_work_that_nobody_waits_for_ends_and_holds_nobody_up() -> None:
    clock, done, closed = Clock(), list[str](), list[bool]()
    slices = Slices(clock, turn_secs=TURN)

    def endless() -> Generator[None, None, None]:
        try:
            while True:
                clock.now += 1
                yield
        finally:
            closed.append(True)

    given_up = [asyncio.ensure_future(slices.run(endless())) for _ in range(3)]
    waiting = asyncio.ensure_future(slices.run(work(clock, 30, done)))
    for _ in range(5):
        await asyncio.sleep(0)
    for task in given_up:
        task.cancel()
    assert await waiting == "a"
    await asyncio.gather(*given_up, return_exceptions=True)
    assert closed == [True] * 3


def test_without_a_loop_all_is_done_now() -> None:
    assert at_once(work(Clock(), 1000, [])) == "a"
