"""Device names → what dashboards see: the newest value of each metric. One Redis round trip a call."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gateway.contracts import Directory, LiveState, Newest, ShapeBook
from gateway.model import Kind, Shape, Value


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


class LiveReader:
    """Reads the live state."""

    def __init__(self, state: LiveState, shapes: ShapeBook, directory: Directory) -> None:
        self._state = state
        self._shapes = shapes
        self._directory = directory

    async def device(self, name: str) -> DeviceState | None:
        """Return the device's state, or None if there is no such device. Raises StateUnavailable, SinkUnavailable."""
        return (await self.devices([name]))[0]

    async def devices(self, names: Sequence[str]) -> list[DeviceState | None]:
        """Return the states, in order, None where there is no such device. Raises StateUnavailable, SinkUnavailable."""
        found = await self._state.read(names)
        ids = {entry.shape_id for entries in found for entry in entries}
        shapes = await self._shapes.shapes(ids)
        silent = [name for name, entries in zip(names, found, strict=True) if not entries]
        unknown = await self._unknown(silent)
        return [
            None if name in unknown else DeviceState(name, _merge(entries, shapes), "redis")
            for name, entries in zip(names, found, strict=True)
        ]

    async def _unknown(self, silent: Sequence[str]) -> set[str]:
        """Return which of the devices without a state do not exist."""
        strangers = [name for name in silent if self._directory.card(name) is None]
        if strangers:
            await self._directory.look_up(strangers)
        cards = {name: self._directory.card(name) for name in silent}
        return {name for name, card in cards.items() if card is None or not card.known}


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
