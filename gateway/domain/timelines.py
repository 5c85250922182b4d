"""The words for how far a database cluster was seen to be. Pure."""

from typing import NamedTuple, Protocol

TIMELINES = 2**32
"""Beyond the highest timeline that a cluster can have."""


class Mark(NamedTuple):
    """How far a cluster was seen to be."""

    value: int = 0
    """Its highest timeline, and above it how often it was put back, or accepted by an operator (`turn`)."""
    flushed: int = 0
    """The end of its log, of this value."""

    @property
    def turn(self) -> int:
        """How often it was put back, or accepted."""
        return self.value // TIMELINES

    @property
    def timeline(self) -> int:
        """The highest timeline."""
        return self.value % TIMELINES

    def at(self, timeline: int) -> "Mark":
        """Return the mark when the cluster was seen on a timeline that is not lower."""
        return self if timeline <= self.timeline else Mark(self.value - self.timeline + timeline)

    def turned(self, timeline: int) -> "Mark":
        """Return the mark that is above all of before, on this timeline."""
        return Mark(self.value - self.timeline + TIMELINES + timeline)


class Marks(Protocol):
    """Remembers marks for longer than a process lives."""

    async def merge(self, key: str, mark: Mark) -> Mark:
        """Keep a cluster's mark if it is higher than what is kept, and return what is kept then.

        Of marks with equal values the longer log counts. Raises GatewayError, OSError.
        """
        ...
