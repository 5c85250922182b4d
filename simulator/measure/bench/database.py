"""The gateway's database under a bench: what it is, how large it has grown, and, for some workloads, filled with rows.

What fills its table are old messages of devices of ours, as wide as those that are measured, inserted on the server at
times before all that is sent. Nothing else is written.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Self

import asyncpg

from simulator.core.errors import Unreachable
from simulator.measure.bench.results import Tally
from simulator.send.latency import Percentiles
from simulator.verify import database
from simulator.verify.database import let_go, unless_lost

_CONNECT_S = 10
_COMMAND_S = 120
_COMMITS = 200
_LONG_S = 600.0
_SETTINGS = ("fsync", "synchronous_commit", "shared_buffers", "max_wal_size")

_FACTS = """
select current_setting('server_version') as postgres,
       (select extversion from pg_extension where extname = 'timescaledb') as timescaledb,
       current_setting('timescaledb.license', true) as licence,
       array(select current_setting(name) from unnest($1::text[]) as name) as settings,
       pg_backend_pid() as backend,
       to_regclass('messages') is not null as is_gateways
"""
_CHUNK_US = """
select extract(epoch from time_interval) * 1000000
from timescaledb_information.dimensions
where hypertable_schema = current_schema() and hypertable_name = 'messages' and time_interval is not null
"""
_AT_ONCE = 1_000_000
"""Rows of one statement."""
_STEP_US = 10_000_000
"""Between two messages of a device."""
_SHAPE = """
select shape_id from messages where cardinality(values) = $1 limit 1
"""
_INSERT = """
insert into messages (time, device_id, shape_id, values)
select to_timestamp($1::float8 / 1e6) - (i / 1000) * interval '1 microsecond' * $2::float8,
       -1 - (i % 1000)::int4, $3, array(select random() * 100 from generate_series(1, $4))
from generate_series($5::int8, $6::int8 - 1) as i
"""


class Database:
    """A connection for asking. Every method raises Unreachable when it is lost."""

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]", facts: asyncpg.Record) -> None:
        self.timescaledb: str | None = facts["timescaledb"]
        """Its version."""
        self.chunk_us: int | None = None
        """Microseconds a chunk of the gateway's table spans, None if it is a plain one."""
        self.backend: int = facts["backend"]
        """Process id of the server's end of this connection, as the server sees it."""
        self._facts = facts
        self._connection = connection
        self._filled = 0

    @classmethod
    async def open(cls, url: str) -> Self:
        """Connect and look. Raises Unreachable, also for a database that is not a gateway's."""
        connection = await connect(url)
        try:
            with unless_lost("The database was lost at once"):
                facts = await connection.fetchrow(_FACTS, _SETTINGS)
                if facts is None or not facts["is_gateways"]:
                    raise Unreachable("The database holds no table of messages: it is not a gateway's.")
                found = cls(connection, facts)
                span = await connection.fetchval(_CHUNK_US) if found.timescaledb else None
                found.chunk_us = None if span is None else int(span)
        except BaseException:
            connection.terminate()
            raise
        return found

    @property
    def sentence(self) -> str:
        """What it is."""
        store, facts = "without TimescaleDB: a plain table", self._facts
        if self.timescaledb:
            store = f"TimescaleDB {self.timescaledb} ({facts['licence']})"
            store += ", but messages is no hypertable" if self.chunk_us is None else ""
        settings = ", ".join(f"{name} {value}" for name, value in zip(_SETTINGS, facts["settings"], strict=True))
        return f"PostgreSQL {facts['postgres'].partition(' ')[0]}, {store}; {settings}"

    async def close(self) -> None:
        """Close the connection; never fails."""
        await let_go(self._connection)

    async def size(self) -> int:
        """Return the bytes that messages and its indexes take on disk."""
        ask = "hypertable_size('messages')" if self.chunk_us else "pg_total_relation_size('messages')"
        with unless_lost("The database was lost while asking for its size"):
            return int(await self._connection.fetchval(f"select {ask}"))

    async def settle(self) -> None:
        """Have written out what was measured before, so that it is not charged to what comes next, if we may."""
        with unless_lost("The database was lost during a checkpoint"), suppress(asyncpg.InsufficientPrivilegeError):
            await self._connection.execute("checkpoint", timeout=_LONG_S)

    async def commit_times(self) -> Percentiles:
        """Return how long a COMMIT takes that writes next to nothing: mostly the disk's fsync. Nothing is left."""
        tally = Tally(lambda *_: "", items=0)
        with unless_lost("The database was lost while committing"):
            for _ in range(_COMMITS):
                began = time.monotonic()
                await self._connection.execute("select pg_logical_emit_message(true, 'bench', '')")
                tally.take(0, b"", time.monotonic() - began)
        return tally.times()

    async def fill(self, rows: int, *, width: int, before_us: int, say: Callable[[str], None]) -> None:
        """Insert old messages until there are so many, each with `width` values; `before_us` since 1970."""
        if rows <= self._filled:
            return
        with unless_lost("The database was lost while it was filled"):
            shape = await self._connection.fetchval(_SHAPE, width)
            if shape is None:
                raise Unreachable(f"The table holds no message of {width} values yet: nothing to fill it with.")
            while self._filled < rows:
                upto = min(rows, self._filled + _AT_ONCE)
                await self._connection.execute(
                    _INSERT, before_us, _STEP_US, shape, width, self._filled, upto, timeout=_LONG_S
                )
                self._filled = upto
                say(f"  the table is filled: {upto:,} of {rows:,} rows")
        await self.settle()


async def connect(url: str) -> "asyncpg.Connection[asyncpg.Record]":
    """Open a connection. Raises UsageError for what is no URL, and Unreachable."""
    return await database.connect(url, timeout=_CONNECT_S, command_timeout=_COMMAND_S)
