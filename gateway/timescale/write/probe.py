"""The probe of a database. In: its settings. Out: whether what the gateway writes can be written there; rolled back.

Every table in the order and with the statements of `staging`, `name_ids` and `dead_letters`, on a connection of its own
that is prepared as the writer's: what would refuse a real write (a missing right, a read-only transaction, a lock, a
full disk, a table that is gone, a trigger) refuses this one. Nothing is left behind, no chunk of a hypertable either.
"""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple

import asyncpg
import numpy as np

from gateway.core import settings
from gateway.core.errors import SinkFault
from gateway.domain.model import Block
from gateway.timescale.connections.connect import connected
from gateway.timescale.connections.hosts import Direct
from gateway.timescale.connections.pool import classify, translated
from gateway.timescale.hints import cure
from gateway.timescale.queries import query
from gateway.timescale.write.assemble import Sorted
from gateway.timescale.write.staging import Stage
from gateway.timescale.write.writer import RolledBack

LOCK_MS = 2000
"""Longest wait for a lock that somebody holds on one of the tables."""
_RAISED = "P0001"


class _Pair(NamedTuple):
    """A device and a shape, with the numbers of values that its rows hold; nulls where it holds none."""

    device: int
    shape: int
    doubles: int
    ints: int
    texts: int


NOBODYS = _Pair(0, 0, 1, 0, 0)


async def rehearse(database: settings.DatabaseSettings, *, overwrite: bool, make_devices: bool) -> None:
    """Return if a write would succeed now. Raises SinkUnavailable, SinkFault."""
    stage = Stage(overwrite=overwrite)
    opened = connected(
        database.url,
        name="gateway-rehearsal",
        connect_timeout=database.connect_timeout_secs,
        command_timeout=database.write_timeout_secs,
    )
    async with translated(), opened as connection:
        await stage.prepare(connection)
        try:
            with suppress(RolledBack):
                async with connection.transaction():
                    await connection.execute(f"set local lock_timeout = {LOCK_MS}")
                    await _write(connection, stage, make_devices=make_devices)
                    raise RolledBack
        except asyncpg.PostgresError as exc:
            if classify(exc) != "data":
                raise
            fault = SinkFault()
            fault.advice = cure(exc)
            raise fault from exc


async def _write(connection: Direct, stage: Stage, *, make_devices: bool) -> None:
    name = f"gateway-rehearsal-{secrets.token_hex(8)}"
    async with _but_rows(connection):
        shape = await _write_shape(connection, name)
        if make_devices:
            await connection.execute(query("insert_devices"), [name])
            device = await connection.fetchval(query("device_ids"), [name], column=1)
            await connection.fetchval(query("insert_device_shapes"), [device], [shape])
    some = await connection.fetchrow(query("some_pair"))
    async with _but_rows(connection, raising=False):
        await _write_message(connection, stage, _Pair(*some) if some else NOBODYS)
    async with _but_rows(connection):
        letter = ("database", "rehearsal", "", name, b"", None, secrets.token_bytes(32), 1, "")
        await connection.execute(query("insert_dead_letters"), *[[value] for value in letter])


async def _write_shape(connection: Direct, name: str) -> int:
    await connection.execute(query("insert_metrics"), [name], ["double"])
    metric = await connection.fetchval(query("metric_ids"), [name], ["double"], column=2)
    columns = [f"{{{metric}}}"], ["{}"], ["{}"]
    await connection.execute(query("insert_shapes"), *columns)
    shape: int = await connection.fetchval(query("shape_ids"), *columns, column=1)
    return shape


async def _write_message(connection: Direct, stage: Stage, pair: _Pair) -> None:
    """Write one row with the server's own time, the fast way, and then the slow way."""
    now_us = await connection.fetchval(query("server_time_us"))
    block = Block(
        [""],
        np.array([pair.device], np.int32),
        np.array([pair.shape], np.int32),
        np.array([now_us], np.int64),
        np.zeros((1, pair.doubles)),
        np.zeros((1, pair.ints), np.int64),
        [("",) * pair.texts] if pair.texts else (),
    )
    parts = [Sorted(block, np.arange(1))]
    await stage.copy(connection, parts)
    await stage.insert(connection, parts)


@asynccontextmanager
async def _but_rows(connection: Direct, *, raising: bool = True) -> AsyncIterator[None]:
    """Pass over what is refused as a row: the table can be written to, an operator's rule may know real devices only.

    With `raising`, what a trigger raises counts as such a rule, too.
    """
    try:
        async with connection.transaction():
            yield
    except asyncpg.PostgresError as exc:
        is_rule = classify(exc) == "data" or (raising and exc.sqlstate == _RAISED)
        if not is_rule or exc.sqlstate == "2200H":
            raise
