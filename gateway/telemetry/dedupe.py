"""Deduplication of log lines: an event's name → say it, or not again so soon. Pure: the clock is an argument."""

from collections.abc import Callable
from typing import NamedTuple

MAX_NAMES = 1024
"""Names remembered; names come from our own code, so this only guards against a mistake."""
MOST_SECS = 60.0
"""What goes on is said at least so often."""
CALM_SECS = 30.0
"""What has not come for so long is over: when it comes again it is new."""


class _Said(NamedTuple):
    """What is known of a name."""

    at: float
    suppressed: int
    """Lines left out since then."""
    every: float
    """Seconds until the next line."""
    came: float
    """When it came last, said or not."""


class Fold:
    """At most one line per name in `every_secs`; the next one says how many were left out."""

    def __init__(self, every_secs: float, *, clock: Callable[[], float]) -> None:
        self._every = every_secs
        self._clock = clock
        self._last: dict[str, _Said] = {}

    def admit(self, name: str, *, goes_on: bool = False) -> int | None:
        """Return how many lines of this name were left out since the last one, or None: leave this one out too.

        Of what `goes_on`, such as a limit that is hit again and again, lines come ever less often.
        """
        now = self._clock()
        said = self._last.get(name)
        if said is None or now - said.came > CALM_SECS:
            every, suppressed = self._every, 0 if said is None else said.suppressed
        elif now - said.at < said.every:
            self._last[name] = said._replace(suppressed=said.suppressed + 1, came=now)
            return None
        else:
            every, suppressed = min(2 * said.every, MOST_SECS) if goes_on else self._every, said.suppressed
        if len(self._last) >= MAX_NAMES:
            self._last.clear()
        self._last[name] = _Said(now, 0, every, now)
        return suppressed
