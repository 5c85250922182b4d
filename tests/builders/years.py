"""In: nothing. Out: a TimescaleDB server with few locks, and messages over many chunks of it. Never a tuned server."""

from contextlib import AbstractContextManager

from tests.builders.batches import Message
from tests.servers import choose
from tests.servers.errors import NoGroundError
from tests.servers.postgres import TIMESCALE_TUNING, DatabaseServer

DAY = 86_400_000_000
FEW_LOCKS = 320
"""Chunks (of a day) that no transaction can make on such a server: it has about 250 × 10 locks, spare ones included."""
TAKE_ALL = """
do $$ declare n int := 0; begin
    loop
        n := n + 1;
        begin perform pg_advisory_lock(n); exception when out_of_memory then exit; end;
    end loop;
end $$
"""
"""Takes all locks that the server has left, until its session ends."""


def few_locks() -> AbstractContextManager[DatabaseServer]:
    """A server whose lock table is small."""
    import pytest  # noqa: PLC0415

    tuning = {
        **TIMESCALE_TUNING,
        "max_connections": "25",
        "max_locks_per_transaction": "10",
        "autovacuum_max_workers": "1",
        "max_wal_senders": "0",
        "max_worker_processes": "8",
        "timescaledb.max_background_workers": "2",
        "shared_buffers": "64MB",
    }
    try:
        return choose.own_timescale(tuning)
    except NoGroundError as error:
        pytest.skip(str(error))


def daily(device: str, days: int) -> list[Message]:
    """A reading a day, the newest first."""
    return [(device, -n * DAY, {"v": float(n)}) for n in range(days)]
