"""The gateway's database under a bench: what it is, how large it has grown, and, for some workloads, filled with rows.

What fills its table are old messages of devices of ours, as wide as those that are measured, inserted on the server at
times before all that is sent. Nothing else is written.
"""

import time
from collections.abc import Callable
from contextlib import suppress

import asyncpg

from simulator.core.errors import Unreachable
from simulator.measure.bench.results import Tally
from simulator.send.latency import Percentiles
from simulator.verify.database import unless_lost
from simulator.verify.stored import StoredReadings

_COMMITS = 200
_LONG_S = 600.0
_SETTINGS = ("fsync", "synchronous_commit", "shared_buffers", "max_wal_size")

_FACTS = """
select current_setting('server_version') as postgres,
       (select extversion from pg_extension where extname = 'timescaledb') as timescaledb,
       current_setting('timescaledb.license', true) as licence,
       array(select current_setting(name) from unnest($1::text[]) as name) as settings,
       pg_backend_pid() as backend
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


class Database(StoredReadings):
    """A connection for asking, also for what is stored. Every method raises Unreachable when it is lost."""

    timescaledb: str | None
    """Its version."""
    chunk_us: int | None
    """Microseconds a chunk of the gateway's table spans, None if it is a plain one."""
    backend: int
    """Process id of the server's end of this connection, as the server sees it."""
    sentence: str
    """What it is."""
    _filled = 0

    async def _prepare(self) -> None:
        await super()._prepare()
        with unless_lost("The database was lost at once"):
            (facts,) = await self._connection.fetch(_FACTS, _SETTINGS)
            postgres, self.timescaledb, licence, values, self.backend = facts
            span = await self._connection.fetchval(_CHUNK_US) if self.timescaledb else None
        self.chunk_us = None if span is None else int(span)
        store = "without TimescaleDB: a plain table"
        if self.timescaledb:
            is_plain = ", but messages is no hypertable" if self.chunk_us is None else ""
            store = f"TimescaleDB {self.timescaledb} ({licence}){is_plain}"
        settings = ", ".join(f"{name} {value}" for name, value in zip(_SETTINGS, values, strict=True))
        self.sentence = f"PostgreSQL {postgres.partition(' ')[0]}, {store}; {settings}"

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
