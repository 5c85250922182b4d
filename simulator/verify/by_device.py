"""A source that reads device by device: what it finds of one in, columns out. Does not know whom it asks."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import numpy as np

from simulator.verify.audit import Column

_AT_ONCE = 8
"""Devices asked for at the same time."""

Rows = list[tuple[int, Any]]
"""(time in µs, value)."""
Found = Mapping[tuple[str, str], Rows]
"""(metric, kind) to rows that are not empty; see `kind_of`."""


class ByDevice(ABC):
    """A source, but for what one device has; it cannot count, and is not told what is stored twice."""

    shows_twins = False

    @abstractmethod
    async def readings_of(self, device: str, since_ms: int, until_ms: int) -> Found:
        """Return what is stored of a device in [since, until), of one it does not know nothing.

        Raises ReadingsRefused, and Unreachable.
        """

    async def close(self) -> None:  # noqa: B027 - may be overridden
        """Do nothing: the client is its opener's."""

    async def count(self, names: Sequence[str], *, since_ms: int) -> int | None:  # noqa: ARG002 - the protocol's
        """Return None: to count is to read it all."""
        return None

    async def columns(self, names: Sequence[str], *, since_ms: int, until_ms: int, first: int) -> AsyncIterator[Column]:
        """Yield what is stored, as `Source` says."""
        for at in range(0, len(names), _AT_ONCE):
            some = names[at : at + _AT_ONCE]
            answers = await asyncio.gather(*(self.readings_of(name, since_ms, until_ms) for name in some))
            for i, found in enumerate(answers):
                for (metric, kind), rows in found.items():
                    yield _to_column(metric, kind, rows, device=first + at + i)


def kind_of(value: object) -> str:
    """Return the kind of a value that came as JSON, where a whole number may have lost its fraction."""
    if isinstance(value, bool):
        return "bool"
    return "text" if isinstance(value, str) else "double"


def _to_column(metric: str, kind: str, rows: Rows, *, device: int) -> Column:
    times, values = zip(*rows, strict=True)
    return Column(
        metric,
        kind,
        np.full(len(rows), device, dtype=np.int64),
        np.array(times, dtype=np.int64),
        np.array(values, dtype=object if kind == "text" else np.float64),
    )
