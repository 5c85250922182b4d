"""Names of happenings in, "say it" or "not again so soon" out. Pure: the clock is an argument."""

from collections.abc import Callable

MAX_NAMES = 1024
"""Names remembered; names come from our own code, so this only guards against a mistake."""


class Fold:
    """At most one line per name in `every_secs`; the next one says how many were left out."""

    def __init__(self, every_secs: float, *, clock: Callable[[], float]) -> None:
        self._every = every_secs
        self._clock = clock
        self._last: dict[str, tuple[float, int]] = {}

    def admit(self, name: str) -> int | None:
        """Return how many lines of this name were left out since the last one, or None: leave this one out too."""
        now = self._clock()
        said, suppressed = self._last.get(name, (now - self._every, 0))
        if now - said < self._every:
            self._last[name] = (said, suppressed + 1)
            return None
        if len(self._last) >= MAX_NAMES:
            self._last.clear()
        self._last[name] = (now, 0)
        return suppressed
