"""DroppedBytes: what is refused is read freely within the budget, and beyond it in turns, until all is through."""

import asyncio

from gateway.web.limits.dropped_bytes import AT_ONCE_BYTES, BYTES_PER_SEC, EACH_PAUSE, DroppedBytes

READ = 256 * 1024
SOON = 5.0


class Refused:
    """One connection that sends on and on, and the order in which all of them went on."""

    def __init__(self, number: int, order: list[int]) -> None:
        self.number = number
        self._order = order

    def drop_more(self) -> None:
        self._order.append(self.number)


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def went_on(order: list[int], count: int) -> None:
    async with asyncio.timeout(SOON):
        while len(order) < count:  # noqa: ASYNC110 - a timer tells nobody
            await asyncio.sleep(0.001)


async def test_a_quiet_time_pays_for_a_few_at_once() -> None:
    dropped, one = DroppedBytes(Clock()), Refused(0, [])
    reads = 0
    while dropped.drop(one, READ):
        reads += 1
    assert reads == AT_ONCE_BYTES // READ


async def test_beyond_the_budget_all_go_on_in_order_and_a_few_at_once() -> None:
    clock, order = Clock(), list[int]()
    dropped = DroppedBytes(clock)
    many = [Refused(number, order) for number in range(3 * EACH_PAUSE)]
    dropped.drop(many[0], AT_ONCE_BYTES + READ)
    assert not any(dropped.drop(one, 0) for one in many)
    clock.now += 2 * READ / BYTES_PER_SEC
    await went_on(order, 1)
    assert len(order) <= EACH_PAUSE
    await went_on(order, len(many))
    assert order == list(range(len(many)))


async def test_nobody_goes_on_while_the_budget_is_overdrawn() -> None:
    clock, order = Clock(), list[int]()
    dropped = DroppedBytes(clock)
    one, other = Refused(0, order), Refused(1, order)
    assert not dropped.drop(one, AT_ONCE_BYTES + BYTES_PER_SEC)
    assert not dropped.drop(other, 1)
    for _ in range(3):
        dropped._go_on()
    assert order == []
    clock.now += 2
    await went_on(order, 2)


async def test_who_is_gone_is_not_waited_for() -> None:
    clock, order = Clock(), list[int]()
    dropped = DroppedBytes(clock)
    one, other = Refused(0, order), Refused(1, order)
    assert not dropped.drop(one, 2 * AT_ONCE_BYTES)
    assert not dropped.drop(other, 1)
    dropped.forget(one)
    clock.now += 1
    await went_on(order, 1)
    assert order == [1]
    assert dropped.drop(one, 1)
