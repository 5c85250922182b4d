"""Late messages: stored for a removed device after it was emptied. Out: its successor's, or dead letters.

They were acknowledged by a gateway that had not heard of the removal. Each step is one transaction: what it takes away
is somewhere else when it ends.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import NamedTuple

import asyncpg
import msgspec

from gateway.domain.dead_letters import DeadLetter
from gateway.domain.model import Kind, Shape, Value
from gateway.domain.reasons import Reason
from gateway.telemetry import events
from gateway.timescale.connections.pool import Connection, classify
from gateway.timescale.dead_letters.store import put
from gateway.timescale.queries import query
from gateway.timescale.write.name_ids import find_shapes

AT_ONCE = 500
"""Messages of one step."""
REMOVED = "the device was removed from the registry; register it again, then replay this"
"""Said of messages that were taken in before this gateway heard of it."""
TAKEN = "the device was removed and made again, and the new one has other values at this time"


class Removed(NamedTuple):
    """A removed device, and how often it was found empty."""

    id: int
    name: str
    passes: int


async def settle(connection: Connection, device: Removed, source: str, *bounds: object) -> int:
    """Take up to 500 messages from where `source`, a condition of sql with `bounds`, finds them; return how many.

    Those of a device that was made again become the new one's, all others dead letters, loudly. Raises DATABASE_ERRORS.
    """
    with suppress(_Refused):
        return await _settle(connection, device, source, bounds, is_moving=True)
    return await _settle(connection, device, source, bounds, is_moving=False)


class _Refused(Exception):
    """The database does not take a message under another id."""


async def _settle(
    connection: Connection, device: Removed, source: str, bounds: Sequence[object], *, is_moving: bool
) -> int:
    async with connection.transaction():
        heir = await connection.fetchval(query("lock_successor"), device.name) if is_moving else None
        rows = await connection.fetch(query("take_late", source=source), device.id, AT_ONCE, *bounds)
        left = [(row, REMOVED) for row in rows] if heir is None else await _move(connection, heir, rows)
        letters = await _to_letters(connection, device.name, left)
        await put(connection, letters)
    for words in (REMOVED, TAKEN):
        if count := sum(letter.detail == words for letter in letters):
            events.dead_lettered("database", _CODES[words], count=count, device=device.name)
    return len(rows)


_CODES = {REMOVED: Reason.REJECTED_BY_DATABASE, TAKEN: Reason.CONFLICT}


async def _move(connection: Connection, heir: int, rows: Sequence[asyncpg.Record]) -> list[tuple[asyncpg.Record, str]]:
    """Store the rows for another device, and return those for which it has other values. Raises _Refused."""
    shapes = sorted({row["shape_id"] for row in rows})
    await connection.fetchval(query("insert_device_shapes"), [heir] * len(shapes), shapes)
    left = []
    for row in rows:
        key, values = (heir, row["shape_id"], row["time"]), (row["values"], row["ints"], row["texts"])
        try:
            told = await connection.execute(query("insert_late"), *key, *values)
        except asyncpg.PostgresError as exc:
            if classify(exc) != "data":
                raise
            raise _Refused from exc
        if told.endswith(" 0") and not await connection.fetchval(query("is_stored"), *key, *values):
            left.append((row, TAKEN))
    return left


async def _to_letters(
    connection: Connection, name: str, rows: Sequence[tuple[asyncpg.Record, str]]
) -> list[DeadLetter]:
    shapes = await find_shapes(connection, sorted({row["shape_id"] for row, _ in rows})) if rows else {}
    return [
        DeadLetter(
            "database", _CODES[words], words, name, _to_body(name, row["time"], shapes.get(row["shape_id"]), row)
        )
        for row, words in rows
    ]


def _to_body(device: str, time: datetime, shape: Shape | None, row: asyncpg.Record) -> bytes:
    """Return a message that can be posted again; of a shape that is gone, at least its values."""
    stored = [*(row["values"] or ()), *(row["ints"] or ()), *(row["texts"] or ())]
    values: Mapping[str, Value] | list[Value] = stored
    if shape is not None:
        values = {
            metric.name: bool(value) if metric.kind is Kind.BOOL else value
            for metric, value in zip(shape.metrics, stored, strict=False)
        }
    return msgspec.json.encode({"device": device, "ts": time, "values": values})
