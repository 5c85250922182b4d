"""Timelines: how far a database cluster was seen to be, as a high-water mark. Pure."""

from typing import NamedTuple, Protocol

TIMELINES = 2**32
"""Beyond the highest timeline that a cluster can have."""


class Watermark(NamedTuple):
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

    def at(self, timeline: int) -> "Watermark":
        """Return the watermark when the cluster was seen on a timeline that is not lower."""
        return self if timeline <= self.timeline else Watermark(self.value - self.timeline + timeline)

    def turned(self, timeline: int) -> "Watermark":
        """Return the watermark that is above all of before, on this timeline."""
        return Watermark(self.value - self.timeline + TIMELINES + timeline)


class WatermarkStore(Protocol):
    """Remembers watermarks for longer than a process lives."""

    async def merge(self, key: str, watermark: Watermark) -> Watermark:
        """Keep a cluster's watermark if it is higher than what is kept, and return what is kept then.

        Of watermarks with equal values the longer log counts. Raises GatewayError, OSError.
        """
        ...
