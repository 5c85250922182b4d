"""Durations as people write them: a whole number and s, m, h or d. Pure."""

import re
from typing import NamedTuple

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
"""Seconds of each."""
SECOND_US, DAY_US = 1_000_000, 86_400_000_000
MAX_SECS = 100 * 366 * 86_400
_WRITTEN = re.compile(r"([0-9]{1,10})([smhd])", re.ASCII)


class Duration(NamedTuple):
    """So many of a unit."""

    number: int
    unit: str

    @property
    def secs(self) -> int:
        """The same in seconds; a day has 24 hours."""
        return self.number * UNITS[self.unit]


def parse_duration(text: str) -> Duration | None:
    """`15m` → 15 minutes; None for anything else, for nothing at all, and for more than a hundred years."""
    found = _WRITTEN.fullmatch(text)
    duration = found and Duration(int(found[1]), found[2])
    return duration if duration and 0 < duration.secs <= MAX_SECS else None
