"""The yardstick on real servers: its table is its own, and goes."""

import time
from itertools import pairwise

import asyncpg
import pytest

from simulator.core.errors import Unreachable
from simulator.measure.bench.database import Database
from simulator.measure.bench.results import Window
from simulator.measure.bench.workloads import CONNECTIONS, Setup
from simulator.measure.bench.yardstick import Yardstick
from tests.servers import databases
from tests.unit.simulator.cases import START_MS


async def test_it_copies_into_a_table_of_its_own_and_takes_it_away(database: databases.Database) -> None:
    asking = await Database.open(database.url)
    reader = await asyncpg.connect(database.url)
    try:
        assert (asking.timescaledb is not None) == (asking.chunk_us is not None) == (database.kind == "timescale")
        assert ("without TimescaleDB" in asking.sentence) == (database.kind == "plain")
        before = await asking.size()
        async with Yardstick(database.url, chunk_us=asking.chunk_us) as yardstick:
            await yardstick.renew()
            rows = 0
            for i, connections in enumerate(CONNECTIONS):
                setup = Setup(4, 10, 1, 100, connections)
                window = Window(0.2, clock=time.monotonic)
                start_us = START_MS * 1_000 + i * 120_000_000
                count, elapsed = await yardstick.copy(setup, window, start_us=start_us)
                assert count > 0
                assert elapsed >= 0.2
                rows += count
            assert await reader.fetchval("select count(*) from simulator_bench.messages") == rows
            assert await reader.fetchval("select array_length(values, 1) from simulator_bench.messages limit 1") == 4
            indexes = await reader.fetch("select indexdef from pg_indexes where schemaname = 'simulator_bench'")
            assert ["UNIQUE" in index["indexdef"] for index in indexes] == [True]
            assert await _is_hypertable(reader, database.kind)
        assert await reader.fetchval("select to_regnamespace('simulator_bench') is null")
        assert await reader.fetchval("select count(*) from messages") == 0
        assert await asking.size() == before
    finally:
        await reader.close()
        await asking.close()


async def _is_hypertable(connection: "asyncpg.Connection[asyncpg.Record]", kind: str) -> bool:
    """Whether both tables are made alike: hypertables with chunks as long where there are any."""
    if kind == "plain":
        return True
    spans = await connection.fetch(
        "select hypertable_schema, time_interval from timescaledb_information.dimensions"
        " where hypertable_name = 'messages'"
    )
    same = all(one["time_interval"] == other["time_interval"] for one, other in pairwise(spans))
    return same and {span["hypertable_schema"] for span in spans} == {"public", "simulator_bench"}


async def test_a_key_that_is_there_already_is_a_sentence_not_a_group(plain_db: databases.Database) -> None:
    asking = await Database.open(plain_db.url)
    await asking.close()
    async with Yardstick(plain_db.url, chunk_us=asking.chunk_us) as yardstick:
        await yardstick.renew()
        setup = Setup(1, 10, 1, 10, 2)
        await yardstick.copy(setup, Window(0.05, clock=time.monotonic), start_us=0)
        with pytest.raises(Unreachable, match="duplicate key"):
            await yardstick.copy(setup, Window(0.05, clock=time.monotonic), start_us=0)


async def test_a_database_that_is_not_a_gateways_is_refused(empty_database: databases.Database) -> None:
    with pytest.raises(Unreachable, match="not a gateway's"):
        await Database.open(empty_database.url)
