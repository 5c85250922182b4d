"""Snapshots: all newest values a filter shows, as JSON. One read serves all who ask at once. Bounded in devices.

A snapshot is begun after it was asked for, so it shows at least what the asker's position stands for.
"""

import asyncio
from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

import orjson

from gateway.core.errors import BadRequest
from gateway.core.single_flight import SingleFlight
from gateway.core.timestamps import to_rfc3339
from gateway.domain.contracts.newest import DeviceState, DeviceStates, TagLookup
from gateway.live.filters import Filter

MAX_DEVICES = 1000
"""Devices a snapshot shows."""
MAX_BYTES = 4 * 2**20
"""A snapshot ends with the page of devices that fills it."""
PAGE = 200
"""Devices read at once."""
MAX_TAGGED = 100_000
"""Devices that a filter's tags may match."""
GATHER_SECS = 0.01
"""How long others may join a read before it begins."""
READS = 2
"""Reads at once in a worker."""


class SnapshotText(NamedTuple):
    """What a snapshot says."""

    states: bytes
    truncated: bool


NOTHING = SnapshotText(b"{}", truncated=False)


class Snapshots:
    """Reads snapshots. One per worker."""

    def __init__(self, by_tag: TagLookup, states: DeviceStates) -> None:
        self._by_tag = by_tag
        self._states = states
        self._slots = asyncio.Semaphore(READS)
        self._reads = SingleFlight[Filter, SnapshotText]("live.snapshot")

    async def close(self) -> None:
        """Give up the reads in hand."""
        await self._reads.close()

    async def names(self, wanted: Filter) -> frozenset[str] | None:
        """Return the devices that a filter means now; None: all. Raises BadRequest, SinkUnavailable, SinkFault."""
        if not wanted.tags:
            return wanted.devices
        found = await self._by_tag.tagged(wanted.tags, limit=MAX_TAGGED + 1)
        if len(found) > MAX_TAGGED:
            raise BadRequest(f"tag= matches more than {MAX_TAGGED} devices; leave it out", parameter="tag")
        return frozenset(found) if wanted.devices is None else wanted.devices.intersection(found)

    async def take(self, wanted: Filter, names: frozenset[str] | None) -> SnapshotText:
        """Return the newest values as of now or later. Raises Unavailable, SinkFault."""
        return await self._reads.do(wanted, lambda: self._begin(wanted, names))

    async def _begin(self, wanted: Filter, names: frozenset[str] | None) -> SnapshotText:
        await asyncio.sleep(GATHER_SECS)
        async with self._slots:
            self._reads.leave(wanted)
            return await self._read(wanted, names)

    async def _read(self, wanted: Filter, names: frozenset[str] | None) -> SnapshotText:
        limit = MAX_DEVICES + 1
        listed = sorted(names)[:limit] if names is not None else await self._by_tag.tagged((), limit=limit)
        pages, size = [], 0
        rest = iter(listed[:MAX_DEVICES])
        while size < MAX_BYTES and (page := list(islice(rest, PAGE))):
            states = await self._states.devices(page)
            pages.append(orjson.dumps(_shown(page, states, wanted.metrics))[1:-1])
            size += len(pages[-1])
        truncated = len(listed) > MAX_DEVICES or next(rest, None) is not None
        return SnapshotText(b"{%b}" % b",".join([page for page in pages if page]), truncated=truncated)


def _shown(
    names: Sequence[str], states: Sequence[DeviceState | None], metrics: frozenset[str] | None
) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = {}
    for name, state in zip(names, states, strict=True):
        if state is None:
            continue
        shown: dict[str, object] = {
            metric: {"value": value, "ts": to_rfc3339(time_us), "kind": kind}
            for metric, (value, time_us, kind) in state.metrics.items()
            if metrics is None or metric in metrics
        }
        if shown:
            found[name] = shown
    return found
