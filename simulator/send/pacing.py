"""The pace: when each post is to be sent, whatever became of the ones before it (an open loop). The clock comes in.

A closed loop waits for the answer before it sends again, so a server that stalls is asked less and looks fast
(coordinated omission). Here the intended time of a post follows from its number alone, and latency counts from there.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from simulator.plan.schedule import Timetable

LONGEST_SLEEP_S = 0.2
"""So soon at the latest whoever sleeps hears that the schedule was ended."""

Clock = Callable[[], float]
Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Turn:
    """One post's place in the schedule; `due` is in seconds on the pace's clock."""

    number: int
    due: float


class Pace:
    """Hands out turns in order to any number of senders; what nobody could send within `patience` is passed over.

    No queue stands behind it: the backlog is the difference of two numbers, so memory is flat under any overload.
    """

    def __init__(
        self,
        rate: float | Timetable,
        posts: int,
        *,
        patience: float,
        clock: Clock,
        sleep: Sleep = asyncio.sleep,
        grain: float = 0.0,
    ) -> None:
        """`rate` in posts a second, or when each is due; `patience` in seconds.

        A sleep lasts `grain` seconds at least. What falls due meanwhile is sent together, late by so much at the most,
        and its latency counts that in; without it every post of a fast schedule costs a turn of the event loop.
        """
        self._schedule = rate if isinstance(rate, Timetable) else Timetable(rate=rate)
        self._posts = posts
        self._patience = patience
        self._clock = clock
        self._sleep = sleep
        self._grain = grain
        self._start = clock()
        self._next = 0
        self.unsent = 0
        self.is_stopped = False
        """Whether the schedule was ended before its time."""

    def start(self) -> None:
        """Let the schedule begin now rather than when this was made."""
        self._start = self._clock()

    @property
    def began(self) -> float:
        """When the schedule began, on the clock."""
        return self._start

    @property
    def offered(self) -> int:
        """Posts that should have been sent by now."""
        return min(self._posts, self._schedule.count(self._clock() - self._start))

    @property
    def backlog(self) -> int:
        """Posts that are due and that no sender has taken yet."""
        return max(0, self.offered - self._next)

    def claim(self) -> Turn | None:
        """Return the next turn, or None when the schedule is at its end. Never waits: see `arrival`."""
        if self._next >= self._posts:
            return None
        due = self._start + self._schedule.due(self._next)
        if self._clock() - due > self._patience:
            self._pass_over()
            if self._next >= self._posts:
                return None
            due = self._start + self._schedule.due(self._next)
        self._next += 1
        return Turn(self._next - 1, due)

    def phase_of(self, turn: Turn) -> int:
        """Return which phase of the schedule a turn belongs to, from 0."""
        return self._schedule.phase_of(turn.number)

    async def arrival(self, turn: Turn) -> float:
        """Wait until the turn is due; return how late we woke, in seconds, or 0 if it was due already.

        Only a sender that stood idle can tell how punctual the generator is; one that comes late from
        its previous post is the server's doing.
        """
        wait = turn.due - self._clock()
        if wait <= 0:
            return 0.0
        while wait > 0 and not self.is_stopped:
            await self._sleep(min(max(wait, self._grain), LONGEST_SLEEP_S))
            wait = turn.due - self._clock()
        return max(0.0, -wait)

    async def rest(self, secs: float) -> bool:
        """Sleep; return False, and at once, when the schedule has been ended."""
        until = self._clock() + secs
        while (wait := until - self._clock()) > 0 and not self.is_stopped:
            await self._sleep(min(wait, LONGEST_SLEEP_S))
        return not self.is_stopped

    def stop(self) -> None:
        """End the schedule here: no further turn is handed out, and those that are not due yet are void."""
        self.is_stopped = True
        self._posts = self._next

    def takes_back(self, turn: Turn) -> bool:
        """Return whether a turn has become void, as if it had never been claimed; ask once, after its arrival."""
        is_void = self.is_stopped and self._clock() < turn.due
        self._posts -= is_void
        return is_void

    def _pass_over(self) -> None:
        too_old = self._schedule.count(self._clock() - self._start - self._patience) - 1
        passed = min(too_old, self._posts) - self._next
        if passed > 0:
            self._next += passed
            self.unsent += passed
