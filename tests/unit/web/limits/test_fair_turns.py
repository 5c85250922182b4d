"""FairTurns: nobody waits while few come, and however many come a turn of the loop takes a few, in order."""

import asyncio

from gateway.web.limits.fair_turns import (
    ANSWER_BYTES_EACH_TURN,
    BEGIN_EACH_TURN_US,
    PROBES_EACH_TURN_US,
    FairTurns,
)

SOON = 5.0


class Visitors:
    """Those who asked for their turn, and in which turn of the loop each got it."""

    def __init__(self, turns: FairTurns) -> None:
        self._turns = turns
        self.loop_turn = 0
        self.taken: list[tuple[int, int]] = []
        """Turn of the loop, visitor."""

    async def visit(self, number: int) -> None:
        await self._turns.mine()
        self.taken.append((self.loop_turn, number))

    async def count(self) -> None:
        while True:
            await asyncio.sleep(0)
            self.loop_turn += 1


async def visited(visitors: Visitors, count: int) -> list[int]:
    """Let so many come together; return how many were taken in each turn of the loop that took any."""
    counter = asyncio.create_task(visitors.count(), name="count")
    async with asyncio.timeout(SOON), asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(visitors.visit(number), name=f"visitor[{number}]")
    counter.cancel()
    turns = [turn for turn, _ in visitors.taken]
    return [turns.count(turn) for turn in sorted(set(turns))]


async def test_few_are_not_held_up() -> None:
    turns = FairTurns(each_turn=4)
    for _ in range(4):
        mine = turns.mine()
        try:
            mine.send(None)
        except StopIteration:
            continue
        raise AssertionError("it waited")


async def test_many_come_in_order_a_few_in_each_turn_of_the_loop() -> None:
    visitors = Visitors(FairTurns(each_turn=4))
    assert max(await visited(visitors, 50)) <= 4
    assert [number for _, number in visitors.taken] == list(range(50))


async def test_whoever_gives_up_takes_no_turn_from_the_others() -> None:
    visitors = Visitors(FairTurns(each_turn=1))
    tasks = [asyncio.create_task(visitors.visit(number), name=f"visitor[{number}]") for number in range(10)]
    await asyncio.sleep(0)
    for task in tasks[1:9]:
        task.cancel()
    await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), SOON)
    assert [number for _, number in visitors.taken] == [0, 9]


async def test_after_a_rush_nobody_waits_again() -> None:
    visitors = Visitors(FairTurns(each_turn=4))
    await visited(visitors, 20)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    visitors.taken.clear()
    assert await visited(visitors, 3) == [3]


async def test_large_answers_are_written_in_later_turns_in_order_and_no_more_than_so_many_bytes_in_each() -> None:
    turns, size = FairTurns(), ANSWER_BYTES_EACH_TURN // 4
    visitors = Visitors(turns)

    async def write(number: int) -> None:
        began = visitors.loop_turn
        await turns.write(size)
        assert visitors.loop_turn > began
        visitors.taken.append((visitors.loop_turn, number))

    counter = asyncio.create_task(visitors.count(), name="count")
    async with asyncio.timeout(SOON), asyncio.TaskGroup() as group:
        for number in range(50):
            group.create_task(write(number), name=f"answer[{number}]")
        await asyncio.sleep(0)
        assert turns.may_begin(1)  # what is small waits behind none of them
        assert turns.is_free(1)
    counter.cancel()
    seen = [turn for turn, _ in visitors.taken]
    assert max(seen.count(turn) for turn in set(seen)) <= 4
    assert [number for _, number in visitors.taken] == list(range(50))


async def test_a_request_begins_behind_those_that_wait_to_and_a_few_probes_before_them() -> None:
    turns = FairTurns()
    assert turns.may_begin(BEGIN_EACH_TURN_US)
    waiting = [turns.begin(BEGIN_EACH_TURN_US) for _ in range(3)]
    for first in waiting:
        assert not turns.may_begin(1)
        assert turns.may_probe(PROBES_EACH_TURN_US)
        assert not turns.may_probe(1)
        await asyncio.wait_for(first, SOON)
    assert all(each.done() for each in waiting)
