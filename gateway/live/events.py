"""Events that readers are sent, encoded once however many readers share them. Pure.

A change is {"device", "ts" (RFC 3339, UTC, microseconds), "values": {metric: value}}; a large event has several parts.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

import orjson

from gateway.core.timestamps import to_rfc3339
from gateway.domain.changes import Change, LogPosition

PART_BYTES = 64 * 1024
"""A part ends with the change that fills it."""

Reason = Literal["start", "too_old", "lost"]
"""A new stream; the gap is longer than what is kept; changes are missing, or too many waited for one reader."""


class Event:
    """The changes of one committed batch that match a filter."""

    __slots__ = ("changes", "parts", "position", "size", "written")

    def __init__(self, position: LogPosition, changes: Sequence[Change]) -> None:
        self.position = position
        self.changes = changes
        self.parts = _parts(changes)
        """JSON arrays, in order; there is at least one."""
        self.size = sum(map(len, self.parts))
        self.written: bytes | None = None
        """As it is written for SSE; kept here since many readers share an event."""


class Lagged(NamedTuple):
    """The reader was too slow: so many values were replaced by newer ones before it took them."""

    skipped: int


class Lost(NamedTuple):
    """What a reader has is not to be relied on from this position on: it needs all newest values."""

    reason: Reason
    position: LogPosition


class Snapshot(NamedTuple):
    """All newest values, as of a position or later."""

    reason: Reason
    position: LogPosition
    states: bytes
    """JSON: {device: {metric: {"value", "ts", "kind"}}}."""
    truncated: bool
    """There are more devices than are shown."""


Item = Event | Lagged | Lost
Output = Event | Lagged | Snapshot


def _parts(changes: Iterable[Change]) -> list[bytes]:
    parts: list[bytes] = []
    pieces: list[bytes] = []
    size = 0
    for change in changes:
        pieces.append(_encode(change.device, change.time_us, change.values))
        size += len(pieces[-1])
        if size >= PART_BYTES:
            parts.append(b"[%b]" % b",".join(pieces))
            pieces, size = [], 0
    if pieces or not parts:
        parts.append(b"[%b]" % b",".join(pieces))
    return parts


def _encode(device: str, time_us: int, values: Mapping[str, object]) -> bytes:
    return orjson.dumps({"device": device, "ts": to_rfc3339(time_us), "values": values})
