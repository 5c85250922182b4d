"""Reader of the newest state: device names → the newest value of each metric. One round trip a call, or one query.

Where Redis is away, slow or not complete the database answers, with the same values; for a device that Redis has not
whole it does, too, and fills it again. Never puts answers of both together for one device.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from itertools import repeat
from typing import NamedTuple

from gateway.core.errors import StateUnavailable
from gateway.domain.contracts.ingest import Directory
from gateway.domain.contracts.newest import (
    DeviceState,
    LiveState,
    NewestMessage,
    NewestStored,
    NewestTimes,
    Reading,
    ShapeBook,
)
from gateway.domain.model import Kind, Shape, Value
from gateway.state.coalesce import Coalescer
from gateway.state.repair import repair
from gateway.telemetry import state_events


class _ShapeColumns(NamedTuple):
    """A shape, ready to be put beside the values of a message."""

    names: list[str]
    kinds: list[Kind]
    bools: list[int]
    """Positions of the values that are kept as 0 and 1."""


class NewestReader:
    """Reads the live state."""

    def __init__(self, state: LiveState, shapes: ShapeBook, directory: Directory, *, stored: NewestStored) -> None:
        self._state = state
        self._shapes = shapes
        self._directory = directory
        self._stored = stored
        self._coalescer = Coalescer(self.devices)

    async def device(self, name: str) -> DeviceState | None:
        """Return the device's state, or None if there is no such device. Raises SinkUnavailable, SinkFault."""
        return await self.soon(name)

    def soon(self, name: str) -> "asyncio.Future[DeviceState | None]":
        """Return the same as a future."""
        return self._coalescer.soon(name)

    async def close(self) -> None:
        """Give up the readings of `soon` that are under way."""
        await self._coalescer.close()

    async def devices(self, names: Sequence[str]) -> list[DeviceState | None]:
        """Return the states, in order, None where there is no such device. Raises SinkUnavailable, SinkFault."""
        found: dict[str, list[NewestMessage]] = {}
        source = dict.fromkeys(names, "redis")
        lost: dict[str, None] = {}
        try:
            for name, entries in zip(names, await self._state.read(names), strict=True):
                found[name] = entries or []
                if entries is None:
                    lost[name] = None
        except StateUnavailable:
            found = await self._ask_database(names, source)
        unknown = await self._unknown([name for name in names if not found[name]], lost)
        if known := [name for name in lost if name not in unknown]:
            found |= await self._repair(known, source)
        shapes = await self._shapes.shapes({entry.shape_id for entries in found.values() for entry in entries})
        columns = {number: _columns(shape) for number, shape in shapes.items()}
        return [
            None if name in unknown else DeviceState(name, _merge(found[name], columns), source[name]) for name in names
        ]

    async def times(self, reported: Mapping[str, bool]) -> NewestTimes:
        """Return when devices were last heard of; told is whether each ever was. Raises SinkUnavailable, SinkFault."""
        names = list(reported)
        newest: dict[str, int | None] = {}
        with suppress(StateUnavailable):
            newest.update(zip(names, await self._state.times(names), strict=True))
        missing = [name for name in names if reported[name] and newest.get(name) is None]
        if missing:
            state_events.read_from_database(len(missing))
            newest.update(zip(missing, await self._stored.times(missing), strict=True))
        return NewestTimes({name: newest.get(name) for name in names}, "db" if missing else "redis")

    async def _ask_database(self, names: Sequence[str], source: dict[str, str]) -> dict[str, list[NewestMessage]]:
        state_events.read_from_database(len(names))
        source.update(dict.fromkeys(names, "db"))
        return dict(zip(names, await self._stored.read(names), strict=True))

    async def _repair(self, names: Sequence[str], source: dict[str, str]) -> dict[str, list[NewestMessage]]:
        """Ask the database, and fill Redis again with what it says."""
        try:
            found = await repair(self._state, self._stored, names)
        except StateUnavailable:  # it has gone meanwhile
            return await self._ask_database(names, source)
        state_events.read_from_database(len(names))
        source.update(dict.fromkeys(names, "db"))
        return dict(zip(names, found, strict=True))

    async def _unknown(self, silent: Sequence[str], lost: Collection[str]) -> set[str]:
        """Return which of the devices without a state do not exist.

        That one did not exist a moment ago counts only for what Redis has whole: it may have been made by what it sent.
        """
        strangers = [
            name for name in silent if (card := self._directory.card(name)) is None or (name in lost and not card.known)
        ]
        if strangers:
            await self._directory.look_up(strangers)
        cards = {name: self._directory.card(name) for name in silent}
        return {name for name, card in cards.items() if card is None or not card.known}


def _columns(shape: Shape) -> _ShapeColumns:
    metrics = shape.metrics
    bools = [i for i, metric in enumerate(metrics) if metric.kind is Kind.BOOL]
    return _ShapeColumns([metric.name for metric in metrics], [metric.kind for metric in metrics], bools)


def _merge(entries: Sequence[NewestMessage], shapes: Mapping[int, _ShapeColumns]) -> dict[str, Reading]:
    """Take the newest of each metric over all shapes and kinds; at the same time the older shape wins."""
    metrics: dict[str, Reading] = {}
    for entry in sorted(entries, key=_oldest_first) if len(entries) > 1 else entries:
        columns = shapes.get(entry.shape_id)
        if columns is None:
            continue
        values: list[Value] = [*entry.doubles, *entry.ints, *entry.texts]
        if len(values) != len(columns.names):  # somebody else wrote it
            continue
        for i in columns.bools:
            values[i] = bool(values[i])
        metrics.update(zip(columns.names, zip(values, repeat(entry.time_us), columns.kinds, strict=False), strict=True))
    return metrics


def _oldest_first(entry: NewestMessage) -> tuple[int, int]:
    return entry.time_us, -entry.shape_id
