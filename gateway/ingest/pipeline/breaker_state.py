"""State of the breaker: how writes and probes end → whether writes may be tried, and what to say. Pure: no clock.

A probe that succeeds closes the way that a failure had opened, and is believed at once: once. If the next real write
fails all the same, the probe is blind to what is wrong: from then on writes are let through after a probe, but the
trouble stands, and attempts come further and further apart, until a real write succeeds.
"""

from typing import Literal, NamedTuple

Kind = Literal["transient", "fault"]
"""Whether the same write may succeed later, or an operator must act first."""


class BreakerReason(NamedTuple):
    """Why the database is not trusted."""

    error: str
    kind: Kind
    since_us: int


class Trust:
    """The state of one way to the database."""

    def __init__(self) -> None:
        self.is_open = False
        """Whether writes are not even tried."""
        self.trouble: BreakerReason | None = None
        """What is wrong; may stand while writes are let through, until one has succeeded."""
        self.term = 0
        """Grows each time the way is closed: how a write that began earlier ends says nothing of now."""
        self.attempts = 0
        """Probes and trials in vain since a real write last succeeded."""
        self._proven = False
        """Whether a real write has succeeded since the way was closed last."""
        self._held = True
        """Whether the way has been closed for long without a failure."""
        self._blind = False
        """Whether a real write failed soon after a probe that had not."""
        self._told: set[Kind] = set()

    def lose(self, term: int, error: str, kind: Kind, *, now_us: int) -> bool:
        """Note that a write, begun in this term, has failed; return whether that is news."""
        if self.is_open or term != self.term:
            return False
        self.is_open = True
        if not (self._proven or self._held):
            self._blind = True
            self.attempts += 1
        return self._note(error, kind, now_us)

    def miss(self, error: str, kind: Kind, *, now_us: int) -> bool:
        """Note that a probe has failed; return whether that is news."""
        self.is_open = True
        self.attempts += 1
        return self._note(error, kind, now_us)

    def reach(self) -> BreakerReason | None:
        """Note that a probe has succeeded; return the trouble that is over, as far as is known."""
        self.is_open = self._proven = self._held = False
        self.term += 1
        return None if self._blind else self._settle()

    def prove(self, term: int) -> BreakerReason | None:
        """Note that a real write, begun in this term, has succeeded; return the trouble that this ends."""
        if self._proven or self.is_open or term != self.term:
            return None
        self._proven, self._blind, self.attempts = True, False, 0
        return self._settle()

    def hold(self, term: int) -> BreakerReason | None:
        """Note that nothing has failed for long since this term began; return the trouble that this ends."""
        if self.is_open or term != self.term:
            return None
        self._held, self._blind = True, False
        return self._settle()

    def _note(self, error: str, kind: Kind, now_us: int) -> bool:
        self.trouble = BreakerReason(error, kind, self.trouble.since_us if self.trouble else now_us)
        is_news = kind not in self._told
        self._told.add(kind)
        return is_news

    def _settle(self) -> BreakerReason | None:
        was, self.trouble = self.trouble, None
        self._told.clear()
        return was
