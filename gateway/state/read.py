"""Device names → what dashboards see: the newest value of each metric. One Redis round trip a call, or one query.

Where Redis is away, slow or not complete the database answers, with the same values. Never asks both for one device.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from gateway.contracts import Directory, LiveState, Newest, NewestStored, ShapeBook
from gateway.errors import StateUnavailable
from gateway.model import Kind, Shape, Value
from gateway.telemetry import events


class Reading(NamedTuple):
    """The newest value of a metric."""

    value: Value
    time_us: int
    kind: Kind


class DeviceState(NamedTuple):
    """The newest values of a device."""

    device: str
    metrics: dict[str, Reading]
    source: str


class Times(NamedTuple):
    """When devices were last heard of."""

    newest: dict[str, int | None]
    """Device name → the time of its newest reading (µs), None if there is none."""
    source: str
    """`redis`, or `db` if the database had to be asked for any of them."""


class LiveReader:
    """Reads the live state."""

    def __init__(
        self,
        state: LiveState,
        shapes: ShapeBook,
        directory: Directory,
        *,
        stored: NewestStored,
    ) -> None:
        self._state = state
        self._shapes = shapes
        self._directory = directory
        self._stored = stored

    async def device(self, name: str) -> DeviceState | None:
        """Return the device's state, or None if there is no such device. Raises SinkUnavailable, SinkFault."""
        return (await self.devices([name]))[0]

    async def devices(self, names: Sequence[str]) -> list[DeviceState | None]:
        """Return the states, in order, None where there is no such device. Raises SinkUnavailable, SinkFault."""
        found: dict[str, list[Newest]] = {}
        source = dict.fromkeys(names, "redis")
        try:
            found.update(zip(names, await self._state.read(names), strict=True))
        except StateUnavailable:
            await self._ask_database(names, found, source)
        unknown, missing = await self._silent([name for name in names if not found[name]])
        await self._ask_database([name for name in missing if source[name] == "redis"], found, source)
        shapes = await self._shapes.shapes({entry.shape_id for entries in found.values() for entry in entries})
        return [
            None if name in unknown else DeviceState(name, _merge(found[name], shapes), source[name]) for name in names
        ]

    async def times(self, reported: Mapping[str, bool]) -> Times:
        """Return when devices were last heard of; told is whether each ever was. Raises SinkUnavailable, SinkFault."""
        names = list(reported)
        newest: dict[str, int | None] = {}
        with suppress(StateUnavailable):
            newest.update(zip(names, await self._state.times(names), strict=True))
        missing = [name for name in names if reported[name] and newest.get(name) is None]
        if missing:
            events.state_read_from_database(len(missing))
            newest.update(zip(missing, await self._stored.times(missing), strict=True))
        return Times({name: newest.get(name) for name in names}, "db" if missing else "redis")

    async def _ask_database(
        self,
        names: Sequence[str],
        found: dict[str, list[Newest]],
        source: dict[str, str],
    ) -> None:
        if not names:
            return
        events.state_read_from_database(len(names))
        found.update(zip(names, await self._stored.read(names), strict=True))
        source.update(dict.fromkeys(names, "db"))

    async def _silent(self, silent: Sequence[str]) -> tuple[set[str], list[str]]:
        """Return which of the devices without a state do not exist, and which have reported: Redis has dropped them."""
        strangers = [name for name in silent if self._directory.card(name) is None]
        if strangers:
            await self._directory.look_up(strangers)
        cards = {name: self._directory.card(name) for name in silent}
        unknown = {name for name, card in cards.items() if card is None or not card.known}
        return unknown, [name for name, card in cards.items() if card and card.known and card.shapes]


def _merge(entries: Sequence[Newest], shapes: Mapping[int, Shape]) -> dict[str, Reading]:
    """Take the newest of each metric over all shapes and kinds; at the same time the older shape wins."""
    metrics: dict[str, Reading] = {}
    for entry in sorted(entries, key=lambda e: (-e.time_us, e.shape_id)):
        shape = shapes.get(entry.shape_id)
        if shape is None:
            continue
        values: tuple[Value, ...] = (*entry.doubles, *entry.ints, *entry.texts)
        for metric, value in zip(shape.metrics, values, strict=True):
            if metric.name not in metrics:
                shown = bool(value) if metric.kind is Kind.BOOL else value
                metrics[metric.name] = Reading(shown, entry.time_us, metric.kind)
    return metrics
