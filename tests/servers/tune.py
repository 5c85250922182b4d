"""`python -m tests.servers.tune`: what PostgreSQL's settings cost an ingest, by COPY of the same rows under each.

In: the settings below, one set at a time on a server of its own. Out: a table of readings a second, the server's CPU
and its WAL for a million readings. Never weakens durability: fsync and synchronous_commit stay on in every row.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from statistics import median
from typing import NamedTuple
from urllib.parse import urlsplit

import asyncpg

from gateway.timescale.migrations import migrate
from simulator.measure.bench.processes import cpu_seconds, family, listeners, snapshot
from simulator.measure.bench.yardstick import COLUMNS, CopyRows
from tests.servers import choose
from tests.servers.errors import NoGroundError
from tests.servers.postgres import TIMESCALE_TUNING

WIDTH, DEVICES, ROWS = 5, 20_000, 5_000
"""Doubles in a row, devices that speak in turn, rows a COMMIT."""
START_US = 1_750_000_000_000_000
SHIPPED = {
    "shared_buffers": "1GB",
    "max_wal_size": "8GB",
    "min_wal_size": "2GB",
    "wal_compression": "lz4",
    "wal_buffers": "64MB",
}
"""As in docker-compose.yml."""
VARIANTS: Mapping[str, Mapping[str, str]] = {
    "as shipped": SHIPPED,
    "PostgreSQL's defaults": {"shared_buffers": "128MB", "max_wal_size": "1GB", "min_wal_size": "80MB"},
    "wal_compression=off": SHIPPED | {"wal_compression": "off"},
    "wal_compression=zstd": SHIPPED | {"wal_compression": "zstd"},
    "wal_buffers=4MB": SHIPPED | {"wal_buffers": "4MB"},
    "shared_buffers=256MB": SHIPPED | {"shared_buffers": "256MB"},
    "autovacuum=off": SHIPPED | {"autovacuum": "off"},
    "chunks of 1 h": SHIPPED,
}
CHUNK_HOURS = {"chunks of 1 h": 1}


class Figures(NamedTuple):
    """What a run came to; `cpu` in seconds, `wal` in bytes, both for one reading."""

    rate: float
    cpu: float
    wal: float


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.servers.tune", description=__doc__)
    parser.add_argument("--seconds", type=float, default=8.0, help="of COPY for each run (default 8)")
    parser.add_argument("--checkpoint", type=float, default=4.0, help="seconds between checkpoints (default 4)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each; the median is shown (default 3)")
    options = parser.parse_args()
    found: dict[str, list[Figures]] = {name: [] for name in VARIANTS}
    try:
        for number in range(options.rounds):
            for name, tuning in VARIANTS.items():
                sys.stderr.write(f"round {number + 1} of {options.rounds}: {name}\n")
                found[name].append(measured(name, tuning, options))
    except NoGroundError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write("| settings | readings/s | database CPU s/M | WAL MB/M |\n| --- | --: | --: | --: |\n")
    for name, runs in found.items():
        rate, cpu, wal = (median(column) for column in zip(*runs, strict=True))
        sys.stdout.write(f"| {name} | {rate:,.0f} | {cpu * 1e6:.2f} | {wal:.1f} |\n")
    return 0


def measured(name: str, tuning: Mapping[str, str], options: argparse.Namespace) -> Figures:
    """Return the figures of one run on a new server."""
    settings = {**TIMESCALE_TUNING, **tuning, "fsync": "on", "synchronous_commit": "on"}
    with choose.own_timescale(settings) as server:
        return asyncio.run(ingest(server.url(), options, chunk_hours=CHUNK_HOURS.get(name, 24)))


async def ingest(url: str, options: argparse.Namespace, *, chunk_hours: int) -> Figures:
    """COPY into the gateway's table for some seconds, with a checkpoint now and then."""
    await migrate(url, chunk_hours=chunk_hours)
    root = listeners(urlsplit(url).port or 0)
    connection, other = await asyncpg.connect(url), await asyncpg.connect(url)
    rows = CopyRows(width=WIDTH, devices=DEVICES, shapes=1, rows=ROWS, start_us=START_US)
    try:
        for _ in range(DEVICES // ROWS):  # so that every device is there, and the chunk
            await copy(connection, rows)
        lsn = await other.fetchval("select pg_current_wal_lsn()")
        before, began = cpu(root), time.monotonic()
        with checkpoints(other, options.checkpoint):
            count = 0
            while time.monotonic() - began < options.seconds:
                await copy(connection, rows)
                count += ROWS * WIDTH
        elapsed, used = time.monotonic() - began, cpu(root) - before
        wal = await connection.fetchval("select pg_wal_lsn_diff(pg_current_wal_lsn(), $1)", lsn)
        return Figures(count / elapsed, used / count, float(wal) / count)
    finally:
        connection.terminate()
        other.terminate()


async def copy(connection: "asyncpg.Connection[asyncpg.Record]", rows: CopyRows) -> None:
    """COPY one stream, one COMMIT."""
    await connection.copy_to_table("messages", source=BytesIO(rows.next()), columns=COLUMNS, format="binary")


@contextmanager
def checkpoints(connection: "asyncpg.Connection[asyncpg.Record]", every: float) -> Iterator[None]:
    """Ask for a checkpoint every so many seconds: after it each page is written to the WAL whole, once."""

    async def ask() -> None:
        while True:
            await asyncio.sleep(every)
            await connection.execute("checkpoint")

    task = asyncio.create_task(ask(), name="tune.checkpoints")
    try:
        yield
    finally:
        task.cancel()


def cpu(roots: frozenset[int]) -> float:
    """CPU seconds of the server so far, all its processes."""
    running = snapshot()
    return cpu_seconds(running, family(running, roots))


if __name__ == "__main__":
    sys.exit(main())
