"""Whoever asks when, leaves or is given up: callers of one key share a call, and each hears how its own call ended."""

import asyncio
from collections.abc import Sequence
from typing import Literal, NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import SinkFault, SinkUnavailable
from gateway.core.single_flight import SingleFlight

Act = Literal["ask", "leave", "succeed", "fail", "break", "cancel a caller"]
ACTS: st.SearchStrategy[Act] = st.sampled_from(["ask", "ask", "leave", "succeed", "fail", "break", "cancel a caller"])


class Flight(NamedTuple):
    """A call that the test ends as it likes."""

    key: int
    number: int
    ended: "asyncio.Future[int]"


class Scene:
    """Calls and callers, and what each caller is to hear."""

    def __init__(self) -> None:
        self.flights = SingleFlight[int, int]("shared")
        self.under_way: list[Flight] = []
        self.joinable: dict[int, Flight] = {}
        self.callers: list[tuple[asyncio.Task[int], Flight]] = []
        self.heard: dict[int, object] = {}
        self.left: set[asyncio.Task[int]] = set()
        self.begun = 0

    async def act(self, act: Act, key: int) -> None:
        if act == "ask":
            await self.ask(key)
        elif act == "leave":
            self.flights.leave(key)
            self.joinable.pop(key, None)
        elif act == "cancel a caller":
            for task, flight in self.callers:
                if flight.key == key and not task.done():
                    task.cancel()
                    self.left.add(task)
                    break
        else:
            self.end(act, key)
        for _ in range(3):
            await asyncio.sleep(0)

    async def ask(self, key: int) -> None:
        if key not in self.joinable:
            flight = Flight(key, self.begun, asyncio.get_running_loop().create_future())
            self.joinable[key] = flight
            self.under_way.append(flight)
        flight = self.joinable[key]

        async def call() -> int:
            self.begun += 1
            return await flight.ended

        self.callers.append((asyncio.create_task(self.flights.do(key, call)), flight))

    def end(self, act: Act, key: int) -> None:
        flight = next((each for each in self.under_way if each.key == key), None)
        if flight is None:
            return
        self.under_way.remove(flight)
        if self.joinable.get(key) is flight:
            del self.joinable[key]
        if act == "succeed":
            flight.ended.set_result(flight.number)
            self.heard[flight.number] = flight.number
        else:
            flight.ended.set_exception(SinkFault(retry_after=flight.number) if act == "fail" else ValueError())
            self.heard[flight.number] = SinkFault if act == "fail" else ValueError

    async def finish(self) -> None:
        await self.flights.close()
        outcomes = await asyncio.gather(*[task for task, _ in self.callers], return_exceptions=True)
        errors = [id(outcome) for outcome in outcomes if isinstance(outcome, SinkFault)]
        assert len(errors) == len(set(errors)), "each caller raises its own"
        for (task, flight), outcome in zip(self.callers, outcomes, strict=True):
            heard = outcome if isinstance(outcome, int) else type(outcome)
            expected = asyncio.CancelledError if task in self.left else self.heard.get(flight.number, SinkUnavailable)
            assert heard == expected
        assert (len(self.flights), self.begun) == (0, len({flight.number for _, flight in self.callers}))


@given(st.lists(st.tuples(ACTS, st.integers(0, 1)), max_size=30))
def test_each_caller_hears_how_the_call_ended_that_it_joined(acts: Sequence[tuple[Act, int]]) -> None:
    async def play() -> None:
        scene = Scene()
        for act, key in acts:
            await scene.act(act, key)
        await scene.finish()

    asyncio.run(play())
