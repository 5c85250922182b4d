"""ConnectionBudget: a connection's share of a turn, and that what it costs above it is paid in later turns."""

import asyncio

from gateway.core.settings import HttpSettings
from gateway.web.limits.body_budget import Bodies
from gateway.web.limits.connection_budget import SHARE_US, ConnectionBudget, ConnectionBudgets
from gateway.web.limits.fair_turns import BEGIN_EACH_TURN_US, GO_ON_EACH_TURN, FairTurns

SOON = 5.0


class LoopTurns:
    """Counts the turns of the loop."""

    def __init__(self) -> None:
        self.count = 0
        self._task = asyncio.create_task(self._run(), name="turns")

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(0)
            self.count += 1

    def stop(self) -> None:
        self._task.cancel()


def budgets() -> ConnectionBudgets:
    return ConnectionBudgets(Bodies(HttpSettings()), FairTurns())


async def test_within_its_share_nobody_waits() -> None:
    budget = budgets().of_connection()
    for _ in range(10):
        paying = budget.pay(SHARE_US / 10)
        try:
            paying.send(None)
        except StopIteration:
            continue
        raise AssertionError("it waited")
    assert not budget.spend(1)
    budget.begin_turn()
    assert budget.spend(SHARE_US)


async def test_what_is_dear_is_paid_in_as_many_turns() -> None:
    budget, turns = budgets().of_connection(), LoopTurns()
    await asyncio.wait_for(budget.pay(10 * SHARE_US), SOON)
    assert turns.count >= 9
    turns.stop()


async def test_of_many_a_few_go_on_in_each_turn_first_come_first_served() -> None:
    worker, turns = budgets(), LoopTurns()
    seen: list[tuple[int, int]] = []

    async def go_on(number: int, budget: ConnectionBudget) -> None:
        await budget.pay(SHARE_US + 1)
        seen.append((turns.count, number))

    async with asyncio.timeout(SOON), asyncio.TaskGroup() as group:
        for number in range(40):
            group.create_task(go_on(number, worker.of_connection()))
    turns.stop()
    assert [number for _, number in seen] == list(range(40))
    counts = [[turn for turn, _ in seen].count(turn) for turn in {turn for turn, _ in seen}]
    assert max(counts) <= GO_ON_EACH_TURN


async def test_of_very_many_that_begin_at_once_some_begin_and_the_others_follow() -> None:
    worker, turns = budgets(), LoopTurns()
    cost_us = BEGIN_EACH_TURN_US / 10
    seen: list[int] = []

    async def begin(budget: ConnectionBudget) -> None:
        await budget.pay(cost_us)
        seen.append(turns.count)

    async with asyncio.timeout(SOON), asyncio.TaskGroup() as group:
        for _ in range(200):
            group.create_task(begin(worker.of_connection()))
    turns.stop()
    assert len(seen) == 200
    assert max(seen.count(turn) for turn in set(seen)) <= 10 + GO_ON_EACH_TURN
