"""A task that is ended has ended, even if it did not hear it the first time."""

import asyncio
from contextlib import suppress

import pytest

from gateway.core import tasks as ending
from gateway.core.tasks import background, end

SOON = 20.0


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ending, "AGAIN_SECS", 0.01)


async def for_ever() -> None:
    await asyncio.Event().wait()


async def deaf(times: int) -> None:
    for _ in range(times):
        with suppress(asyncio.CancelledError):
            await for_ever()
    await for_ever()


@pytest.mark.parametrize("times", [0, 1, 5])
async def test_a_task_that_does_not_hear_is_asked_again(times: int) -> None:
    tasks = [asyncio.create_task(deaf(times)), asyncio.create_task(for_ever())]
    await asyncio.sleep(0)
    async with asyncio.timeout(SOON):
        await end(*tasks)
    assert [task.cancelled() for task in tasks] == [True, True]


async def test_what_has_ended_is_left_alone() -> None:
    done = asyncio.create_task(asyncio.sleep(0, "result"))
    await done
    await end(done)
    await end()
    assert done.result() == "result"


async def test_a_task_beside_a_block_ends_with_it_whatever_happens() -> None:
    before = asyncio.all_tasks()

    async def block() -> None:
        async with background(for_ever(), name="beside"):
            assert {task.get_name() for task in asyncio.all_tasks() - before} == {"beside"}
            raise ValueError("of the block")

    with pytest.raises(ValueError, match="of the block"):
        await block()
    assert asyncio.all_tasks() == before
