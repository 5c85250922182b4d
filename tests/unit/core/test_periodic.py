"""Jobs: done at once, again after a failure, never twice at the same time, and not after the end of the block."""

import asyncio

import pytest

from gateway.core.errors import SinkFault, SinkUnavailable
from gateway.core.periodic import repeating

SOON = 10.0


def unsaid(job: str, /, *, failures: int, secs: float) -> None:
    assert (job, failures > 0, secs >= 0) == ("tidy", True, True)


class Rounds:
    """A job whose rounds are counted; those in `failures` fail."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.at_once = self.most_at_once = self.done = 0
        self.reached = asyncio.Event()

    async def do(self) -> None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(0)
            if self.failures:
                raise self.failures.pop(0)
            self.done += 1
            if self.done == 3:
                self.reached.set()
        finally:
            self.at_once -= 1


def running() -> list[str]:
    return [task.get_name() for task in asyncio.all_tasks() if task.get_name() == "tidy"]


async def test_a_failure_is_told_and_the_chore_comes_again() -> None:
    unreachable, mistake = OSError("away"), RuntimeError("a mistake")
    rounds, told = Rounds(unreachable, mistake), list[Exception]()
    async with (
        asyncio.timeout(SOON),
        repeating(rounds.do, name="tidy", every_secs=0.001, on_failure=told.append, on_recovery=unsaid),
    ):
        await rounds.reached.wait()
        assert running() == ["tidy"]
    assert told == [unreachable, mistake]
    assert rounds.most_at_once == 1
    assert running() == []


async def test_failures_in_a_row_are_told_once_and_their_end_once() -> None:
    ends: list[tuple[str, int]] = []

    def ended(job: str, /, *, failures: int, secs: float) -> None:
        ends.append((job, failures))
        assert secs >= 0

    away = [SinkUnavailable(f"{n}") for n in range(26)]
    rounds, told = Rounds(*away, SinkFault(), SinkUnavailable("still")), list[Exception]()
    async with (
        asyncio.timeout(SOON),
        repeating(rounds.do, name="tidy", every_secs=0.001, on_failure=told.append, on_recovery=ended),
    ):
        await rounds.reached.wait()
        assert [type(exc) for exc in told] == [SinkUnavailable, SinkFault]
        assert ends == [("tidy", 28)]
        rounds.failures.append(SinkUnavailable("again"))
        rounds.done = 0
        rounds.reached.clear()
        await rounds.reached.wait()
    assert [type(exc) for exc in told] == [SinkUnavailable, SinkFault, SinkUnavailable]
    assert ends == [("tidy", 28), ("tidy", 1)]


async def test_the_end_of_the_block_interrupts_a_round() -> None:
    begun, interrupted = asyncio.Event(), asyncio.Event()

    async def stay() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            interrupted.set()
            raise

    told: list[Exception] = []
    async with (
        asyncio.timeout(SOON),
        repeating(stay, name="tidy", every_secs=0.001, on_failure=told.append, on_recovery=unsaid),
    ):
        await begun.wait()
    assert interrupted.is_set()
    assert told == []


async def test_what_the_block_raises_is_not_hidden() -> None:
    with pytest.raises(ValueError, match="the block"):
        async with repeating(Rounds().do, name="tidy", every_secs=0.001, on_failure=lambda _: None, on_recovery=unsaid):
            raise ValueError("the block")
    assert running() == []
