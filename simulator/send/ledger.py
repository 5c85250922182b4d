"""The ledger: what was sent and what was answered, in one byte a post, and the single readings that were refused.

What a post holds follows from its number (`fleet`), so nothing else has to be kept: ten million readings in posts of
fifty take 200 KB. The ledger never forgets and never guesses: a post without an answer stays `SENT`, and may be
stored or not. Where it is kept, in memory or in files, is `ledger_folder`'s business.
"""

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from enum import IntEnum
from mmap import mmap

import numpy as np
import numpy.typing as npt

from simulator.plan.fleet import Lane


class Outcome(IntEnum):
    """What became of a post."""

    UNSENT = 0
    """Never on the wire."""
    SENT = 1
    """On the wire at least once, without an answer that settles it."""
    REFUSED = 2
    """Answered: nothing of it is stored."""
    PARTLY = 3
    """Answered: stored, but for the readings listed in `refused_readings`, or as many as `dropped` says."""
    ACKNOWLEDGED = 4
    """Answered: all of it is stored (HTTP), or the broker has it (MQTT)."""


class Ledger:
    """The account of one lane."""

    def __init__(
        self,
        lane: Lane,
        *,
        outcomes: bytearray | mmap | None = None,
        refused: Sequence[int] = (),
        keep_refused: Callable[[bytes], object] = len,
    ) -> None:
        """Begin anew, or go on with the outcomes and what was refused before.

        `keep_refused` is given what is refused, as int64, before the post it belongs to is settled: the number of a
        reading, or below 0 a post with how many of its readings are dropped.
        """
        self.lane = lane
        self.codes: Counter[str] = Counter()
        """Refused readings by the gateway's code."""
        self.durability: Counter[str] = Counter()
        """Acknowledged posts by where the gateway says they are: `db`, `spool`, or `broker`; `target` if it is none."""
        self.faults: Counter[str] = Counter()
        """Answers that cannot be right, by what is wrong with them; their posts stay `SENT`."""
        self._outcomes = bytearray(lane.posts) if outcomes is None else outcomes
        self._refused_readings = array("q", [number for number in refused if number >= 0])
        dropped = (divmod(-1 - number, lane.readings + 1) for number in refused if number < 0)
        self.dropped = {post: readings for post, readings in dropped if self._outcomes[post] == Outcome.PARTLY}
        """How many readings of a post are not stored, where nobody says which."""
        self._keep_refused = keep_refused
        self._posts: list[int] = np.bincount(self.outcomes, minlength=len(Outcome)).tolist()

    @property
    def sent(self) -> int:
        """Readings that were on the wire."""
        return sum(self._posts[Outcome.SENT :]) * self.lane.readings

    @property
    def acknowledged(self) -> int:
        """Readings that must be stored."""
        posts = self._posts[Outcome.ACKNOWLEDGED] + self._posts[Outcome.PARTLY]
        return posts * self.lane.readings - self._refused_alone

    @property
    def refused(self) -> int:
        """Readings that must not be stored."""
        return self._posts[Outcome.REFUSED] * self.lane.readings + self._refused_alone

    @property
    def _refused_alone(self) -> int:
        """Readings refused of posts that are stored otherwise."""
        return len(self._refused_readings) + sum(self.dropped.values())

    @property
    def unacknowledged(self) -> int:
        """Readings that may be stored."""
        return self._posts[Outcome.SENT] * self.lane.readings

    @property
    def outcomes(self) -> npt.NDArray[np.uint8]:
        """Return the outcome of every post, by its number; a view, not a copy."""
        return np.frombuffer(self._outcomes, dtype=np.uint8)

    @property
    def refused_readings(self) -> npt.NDArray[np.int64]:
        """Return the single readings refused, each as message number x metrics + metric; in no order."""
        return np.array(self._refused_readings, dtype=np.int64)

    def write_sent(self, post: int) -> None:
        """Note that a post goes on the wire, for the first time or again."""
        if self._outcomes[post] == Outcome.UNSENT:
            self._settle(post, Outcome.SENT)

    def write_acknowledged(self, post: int, durability: str) -> None:
        """Note that all of a post is stored."""
        self.durability[durability] += 1
        self._settle(post, Outcome.ACKNOWLEDGED)

    def write_refused(self, post: int, codes: Counter[str]) -> None:
        """Note that nothing of a post is stored; `codes` counts its readings by reason."""
        self.codes += codes
        self._settle(post, Outcome.REFUSED)

    def write_partly(self, post: int, codes: Counter[str], *, refused: Iterable[int]) -> None:
        """Note that a post is stored but for some readings, numbered message in the post x metrics + metric."""
        self.codes += codes
        first = post * self.lane.readings
        numbers = array("q", [first + reading for reading in refused])
        self._keep_refused(numbers.tobytes())
        self._refused_readings.extend(numbers)
        self._settle(post, Outcome.PARTLY)

    def write_dropped(self, post: int, codes: Counter[str]) -> None:
        """Note that a post is stored but for as many readings as `codes` counts, whichever they are."""
        self.codes += codes
        dropped = min(codes.total(), self.lane.readings)
        self.dropped[post] = dropped
        self._keep_refused(array("q", [-1 - (post * (self.lane.readings + 1) + dropped)]).tobytes())
        self._settle(post, Outcome.PARTLY)

    def _settle(self, post: int, outcome: Outcome) -> None:
        self._posts[self._outcomes[post]] -= 1
        self._posts[outcome] += 1
        self._outcomes[post] = outcome
