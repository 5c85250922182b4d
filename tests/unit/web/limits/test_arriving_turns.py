"""ArrivingTurns: one large body is read at once, many a few in each turn of the loop, and credentials take turns."""

import asyncio
from contextlib import suppress

from gateway.web.limits.arriving_turns import BYTES_EACH_TURN, GO_ON_EACH_TURN, ArrivingTurns

READ = 256 * 1024
SOON = 5.0


class Senders:
    """Those whose bodies are read, and in which turn of the loop each might go on."""

    def __init__(self) -> None:
        self._turns = ArrivingTurns()
        self._loop_turn = 0
        self.went_on: list[tuple[int, str]] = []
        """Turn of the loop, credential."""

    async def send(self, credential: str, reads: int) -> None:
        for _ in range(reads):
            await self._turns.take(credential, READ)
            self.went_on.append((self._loop_turn, credential))

    async def count(self) -> None:
        while True:
            await asyncio.sleep(0)
            self._loop_turn += 1

    def in_each_turn(self) -> list[int]:
        turns = [turn for turn, _ in self.went_on]
        return [turns.count(turn) for turn in sorted(set(turns))]


async def sent(*bodies: tuple[str, int]) -> Senders:
    senders = Senders()
    counter = asyncio.create_task(senders.count(), name="count")
    async with asyncio.timeout(SOON), asyncio.TaskGroup() as group:
        for credential, reads in bodies:
            group.create_task(senders.send(credential, reads), name="sender")
    counter.cancel()
    return senders


async def test_what_one_turn_has_room_for_does_not_wait() -> None:
    turns = ArrivingTurns()
    taken = 0
    for _ in range(BYTES_EACH_TURN // READ):
        with suppress(StopIteration):
            turns.take("d1", READ).send(None)
            continue
        taken += 1
    assert taken == BYTES_EACH_TURN // READ


async def test_however_many_come_a_turn_reads_a_few() -> None:
    senders = await sent(*[("d1", 8)] * 60)
    assert len(senders.went_on) == 480
    assert max(senders.in_each_turn()) <= BYTES_EACH_TURN // READ + GO_ON_EACH_TURN


async def test_many_bodies_of_one_credential_are_one_of_two() -> None:
    senders = await sent(*[("d1", 8)] * 60, ("d2", 8))
    last = max(index for index, (_, credential) in enumerate(senders.went_on) if credential == "d2")
    assert last < 40


async def test_who_gives_up_takes_no_turn_from_others() -> None:
    turns = ArrivingTurns()
    tasks = [asyncio.create_task(turns.take("d1", BYTES_EACH_TURN), name=f"body[{number}]") for number in range(10)]
    await asyncio.sleep(0)
    for task in tasks[1:9]:
        task.cancel()
    done = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), SOON)
    assert [one is None for one in done] == [True, *[False] * 8, True]
