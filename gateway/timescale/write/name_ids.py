"""The ids of names. In: devices, metrics, shapes. Out: their ids; what is new is made in a few round trips a batch.

Ids are never used twice on one line of the database's history, so the caches only grow, but for devices that were
removed. Past their bound they start anew, and all of them whenever the database goes on from another state (`lineage`).
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from itertools import repeat

import asyncpg

from gateway.domain.model import Kind, Layout, Metric, Shape
from gateway.timescale.connections.lineage import Lineage, moved
from gateway.timescale.connections.pool import Connection, Pool
from gateway.timescale.queries import query

MAX_DEVICES = 1_000_000
"""Device ids kept in memory, about 150 bytes each."""
MAX_PAIRS = 2_000_000
"""(device, shape) pairs known to be in device_shapes, about 60 bytes each."""
MAX_SHAPES = 200_000
"""Shapes kept, and layouts whose shape is known."""
LEARN_ROWS = 10_000
"""Names sent in one statement."""
LEARN_SHAPES = 1000
"""And shapes."""


class Dictionary:
    """The ids this process knows. One per worker."""

    def __init__(self, pool: Pool, *, make_devices: bool = True) -> None:
        self._pool = pool
        self._make_devices = make_devices
        self.devices: dict[str, int] = {}
        self._removals = 0
        """Grows with every `forget_devices`: an id that was asked for earlier must not be kept."""
        self._by_layout: dict[Layout, int] = {}
        self._ids: dict[Shape, int] = {}
        self._shapes: dict[int, Shape] = {}
        self._pairs: set[int] = set()
        self._learning = asyncio.Lock()
        self._learning_shapes = asyncio.Lock()
        pool.lineage.on_change.append(self.forget)

    @property
    def lineage(self) -> Lineage:
        """Where the ids come from: they hold in its epoch, in no other."""
        return self._pool.lineage

    async def device_ids(self, names: Sequence[str]) -> list[int]:
        """Return the id of each device, 0 where there is none. Raises SinkUnavailable, SinkFault.

        Devices that do not exist are made, unless the registry is closed (`make_devices`).
        """
        try:
            return list(map(self.devices.__getitem__, names))
        except KeyError:
            pass
        ids = {name: self.devices.get(name) for name in names}  # taken now: the cache may start anew while we learn
        found = await self._learn_devices(sorted([name for name, known in ids.items() if known is None]))
        return [ids[name] or found.get(name, 0) for name in names]

    async def shape_ids(self, layouts: Sequence[Layout]) -> list[int]:
        """Return the id of the shape of each layout; what does not exist is made. Raises SinkUnavailable, SinkFault."""
        try:
            return list(map(self._by_layout.__getitem__, layouts))
        except KeyError:
            pass
        async with self._learning_shapes:
            epoch = self.lineage.epoch
            ids = await self._learn_shapes({layout.shape for layout in layouts})
        if len(self._by_layout) > MAX_SHAPES:
            self._by_layout.clear()
        if epoch == self.lineage.epoch:
            self._by_layout.update({layout: ids[layout.shape] for layout in layouts})
        return [ids[layout.shape] for layout in layouts]

    def known_shape_ids(self, layouts: Sequence[Layout]) -> list[int]:
        """Return the id of the shape of each layout, 0 where it would have to be asked for."""
        return [self._by_layout.get(layout) or self._ids.get(layout.shape, 0) for layout in layouts]

    async def note_pairs(self, pairs: Collection[int], *, epoch: int | None = None) -> bool:
        """Record which device reports which shape; a pair is device id << 32 | shape id, of this epoch (None: today's).

        False: one of the devices was removed, or the epoch is over, and ids must be asked for again.
        """
        if epoch is None:
            epoch = self.lineage.epoch
        if self._pairs.issuperset(pairs):
            return True
        fresh = sorted(set(pairs) - self._pairs)
        devices, shapes = [pair >> 32 for pair in fresh], [pair & 0xFFFF_FFFF for pair in fresh]
        async with self._pool.connection() as connection:
            if epoch != self.lineage.epoch:
                return False
            present = await connection.fetchval(query("insert_device_shapes"), devices, shapes)
        if present != len(set(devices)):
            self.forget_devices({name for name, device_id in self.devices.items() if device_id in set(devices)})
            return False
        if len(self._pairs) > MAX_PAIRS:
            self._pairs.clear()
        self._pairs.update(fresh)
        return True

    async def shapes(self, ids: Collection[int]) -> Mapping[int, Shape]:
        """Return the shapes that exist, from the cache or in one round trip. Raises SinkUnavailable, SinkFault."""
        epoch = self.lineage.epoch
        found = {shape_id: self._shapes[shape_id] for shape_id in ids if shape_id in self._shapes}
        missing = [shape_id for shape_id in set(ids) if shape_id not in found]
        if missing:
            async with self._pool.connection() as connection:
                fresh = await find_shapes(connection, missing)
            self._check(epoch)
            for shape_id, shape in fresh.items():
                self._remember(shape_id, shape)
            found |= fresh
        return found

    def forget(self) -> None:
        """Look everything up again: the same ids may mean something else now."""
        self.forget_devices(None)
        for known in (self._by_layout, self._ids, self._shapes, self._pairs):
            known.clear()

    def forget_devices(self, names: Collection[str] | None) -> None:
        """Look the ids of these devices (None: all) up again: they may have been removed."""
        self._removals += 1
        if names is None:
            self.devices.clear()
            return
        for name in names:
            self.devices.pop(name, None)

    def remember_device(self, name: str, device_id: int) -> None:
        """Keep an id that somebody else has looked up."""
        if len(self.devices) >= MAX_DEVICES:
            self.devices.clear()
        self.devices[name] = device_id

    async def _learn_devices(self, missing: Sequence[str]) -> dict[str, int]:
        found: dict[str, int] = {}
        async with self._learning, self._pool.connection() as connection:
            removals = self._removals
            for start in range(0, len(missing), LEARN_ROWS):
                part = missing[start : start + LEARN_ROWS]
                if self._make_devices:
                    await connection.execute(query("insert_devices"), part)
                found.update({row["name"]: row["id"] for row in await connection.fetch(query("device_ids"), part)})
        if removals == self._removals:
            for name, device_id in found.items():
                self.remember_device(name, device_id)
        return found

    async def _learn_shapes(self, shapes: Collection[Shape]) -> dict[Shape, int]:
        found = {shape: self._ids[shape] for shape in shapes if shape in self._ids}
        missing = [shape for shape in shapes if shape not in found]
        if not missing:
            return found
        metrics = sorted({metric for shape in missing for metric in shape.metrics})
        epoch = self.lineage.epoch
        async with self._pool.connection() as connection:
            self._check(epoch)
            ids = await _metric_ids(connection, metrics)
            for start in range(0, len(missing), LEARN_SHAPES):
                found |= await _shape_ids(connection, missing[start : start + LEARN_SHAPES], ids)
        for shape in missing:
            self._remember(found[shape], shape)
        return found

    def _check(self, epoch: int) -> None:
        """Raise SinkUnavailable if what was learnt before must not be put beside what is learnt now."""
        if epoch != self.lineage.epoch:
            raise moved()

    def _remember(self, shape_id: int, shape: Shape) -> None:
        if len(self._shapes) >= MAX_SHAPES:
            self._ids.clear()
            self._shapes.clear()
        self._ids[shape] = shape_id
        self._shapes[shape_id] = shape


async def find_shapes(connection: Connection, ids: Collection[int]) -> dict[int, Shape]:
    """Return the shapes that exist. Raises DATABASE_ERRORS."""
    rows = await connection.fetch(query("shapes_by_id"), list(ids))
    return {row["id"]: _to_shape(row) for row in rows}


async def _shape_ids(connection: Connection, shapes: Sequence[Shape], ids: Mapping[Metric, int]) -> dict[Shape, int]:
    """Make what does not exist; return the id of each."""
    keys = sorted([(*map(_ids_text, (s.doubles, s.ints, s.texts), repeat(ids)), n) for n, s in enumerate(shapes)])
    *columns, numbers = map(list, zip(*keys, strict=True))
    await connection.execute(query("insert_shapes"), *columns)
    rows = await connection.fetch(query("shape_ids"), *columns)
    return {shapes[numbers[row["n"] - 1]]: row["id"] for row in rows}


def _ids_text(metrics: Sequence[Metric], ids: Mapping[Metric, int]) -> str:
    """Return the ids as PostgreSQL writes an array: a list of lists of several lengths is none of its types."""
    return "{" + ",".join([str(ids[metric]) for metric in metrics]) + "}"


async def _metric_ids(connection: Connection, metrics: Sequence[Metric]) -> dict[Metric, int]:
    names, kinds = [m.name for m in metrics], [m.kind.value for m in metrics]
    await connection.execute(query("insert_metrics"), names, kinds)
    rows = await connection.fetch(query("metric_ids"), names, kinds)
    return {Metric(name, Kind(kind)): metric_id for name, kind, metric_id in rows}


def _to_shape(row: asyncpg.Record) -> Shape:
    kinds = map(Kind, row["value_kinds"])
    return Shape(
        tuple(Metric(name, kind) for name, kind in zip(row["value_names"], kinds, strict=True)),
        tuple(Metric(name, Kind.INT) for name in row["int_names"]),
        tuple(Metric(name, Kind.TEXT) for name in row["text_names"]),
    )
