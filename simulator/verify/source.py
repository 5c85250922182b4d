"""Where the referee reads what is stored: the joint that the database and the API both fill."""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from simulator.verify.audit import Column


class ReadingsRefused(Exception):
    """It does not show us what is stored; the message says why. Then that cannot be checked, which is no loss."""


class Source(Protocol):
    """What is stored of devices. Every method raises Unreachable when it is lost."""

    shows_twins: bool
    """Whether a reading that is stored twice is shown twice."""

    async def count(self, names: Sequence[str], *, since_ms: int) -> int | None:
        """Return how many readings of the devices are stored since then; None where counting is reading them all."""

    def columns(self, names: Sequence[str], *, since_ms: int, until_ms: int, first: int) -> AsyncIterator[Column]:
        """Yield what is stored of them in [since, until); `first` is the number of the first device in its fleet.

        Raises ReadingsRefused.
        """

    async def close(self) -> None:
        """Let go of it; never fails."""
